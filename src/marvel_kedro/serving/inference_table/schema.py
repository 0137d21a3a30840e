"""The schemas of the inference table and of the table of served entities."""

import pyarrow as pa

_TIMESTAMP = pa.timestamp("us", "UTC")


def _schema(*fields: tuple[str, pa.DataType, str]) -> pa.Schema:
    return pa.schema(
        [pa.field(name, kind, metadata={"comment": comment}) for name, kind, comment in fields]
    )


SCHEMA = _schema(
    ("databricks_request_id", pa.string(), "The server's id of the request"),
    ("request_date", pa.date32(), "The day of request_time in UTC"),
    ("client_request_id", pa.string(), "The client's id of the request"),
    ("request_time", _TIMESTAMP, "When the request arrived"),
    ("status_code", pa.int32(), "HTTP status of the answer"),
    ("sampling_fraction", pa.float64(), "Share of the requests that is logged"),
    ("execution_duration_ms", pa.int64(), "Duration of the request"),
    ("request", pa.string(), "Body of the request; null if too long or not read"),
    ("response", pa.string(), "Body of the answer; null if too long"),
    ("logging_error_codes", pa.list_(pa.string()), "Why a body is null"),
    ("served_entity_id", pa.string(), "What answered, see served_entities"),
    ("requester", pa.string(), "Name of the client's token"),
)
"""The columns of Databricks' inference table, in its order."""

SERVED_SCHEMA = _schema(
    ("served_entity_id", pa.string(), "Id in the inference table"),
    ("endpoint_name", pa.string(), "Name of the endpoint"),
    ("served_entity_name", pa.string(), "Name in the endpoint's configuration"),
    ("entity_name", pa.string(), "The registered model"),
    ("entity_version", pa.string(), "Its version"),
    ("change_time", _TIMESTAMP, "Since when it is served"),
)
"""The served entities, as in Databricks' `system.serving.served_entities`."""

LINE_SCHEMA = pa.schema(
    (field.name, pa.int64() if field.name == "request_time" else field.type)
    for field in SCHEMA
    if field.name != "request_date"
)
"""The fields of a line of the spool; `request_time` in microseconds since 1970."""
