"""The schemas of the inference table and of the table of served entities."""

import pyarrow as pa

_TIMESTAMP = pa.timestamp("us", "UTC")


def _field(name: str, kind: pa.DataType, comment: str) -> pa.Field:
    return pa.field(name, kind, metadata={"comment": comment})


SCHEMA = pa.schema(
    [
        _field("databricks_request_id", pa.string(), "The server's id of the request"),
        _field("request_date", pa.date32(), "The day of request_time in UTC"),
        _field("client_request_id", pa.string(), "The client's id of the request"),
        _field("request_time", _TIMESTAMP, "When the request arrived"),
        _field("status_code", pa.int32(), "HTTP status of the answer"),
        _field("sampling_fraction", pa.float64(), "Share of the requests that is logged"),
        _field("execution_duration_ms", pa.int64(), "Duration of the request"),
        _field("request", pa.string(), "Body of the request; null if too long or not read"),
        _field("response", pa.string(), "Body of the answer; null if too long"),
        _field("logging_error_codes", pa.list_(pa.string()), "Why a body is null"),
        _field("served_entity_id", pa.string(), "What answered, see served_entities"),
        _field("requester", pa.string(), "Name of the client's token"),
    ]
)
"""The columns of Databricks' inference table, in its order."""

SERVED_SCHEMA = pa.schema(
    [
        _field("served_entity_id", pa.string(), "Id in the inference table"),
        _field("endpoint_name", pa.string(), "Name of the endpoint"),
        _field("served_entity_name", pa.string(), "Name in the endpoint's configuration"),
        _field("entity_name", pa.string(), "The registered model"),
        _field("entity_version", pa.string(), "Its version"),
        _field("change_time", _TIMESTAMP, "Since when it is served"),
    ]
)
"""The served entities, as in Databricks' `system.serving.served_entities`."""

LINE_SCHEMA = pa.schema(
    [
        pa.field(field.name, pa.int64() if field.name == "request_time" else field.type)
        for field in SCHEMA
        if field.name != "request_date"
    ]
)
"""The fields of a line of the spool; `request_time` in microseconds since 1970."""
