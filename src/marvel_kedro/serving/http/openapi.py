"""Description of the API in OpenAPI 3.0, with examples that work unchanged."""

from importlib.metadata import version
from typing import Any

from marvel_kedro.serving.http.protocol import FORMS, MAX_ID_CHARACTERS, Kind

EXAMPLE: dict[str, Any] = {
    "name": "Example Character",
    "universe": "Earth-616",
    "identity": "Public",
    "gender": "Female",
    "marital_status": "Single",
    "teams": "First Team; Second Team",
    "origin": "Human mutate",
    "height": 1.78,
    "weight": 61.2,
}
_PREDICTIONS = "One prediction for each record, in their order."
_ERRORS = {
    "400": "The body or a value in it is invalid",
    "413": "The body is too long",
    "415": "The body is not JSON",
    "429": "Too many concurrent requests; the header Retry-After has the seconds to wait",
    "500": "Internal server error; the server's log has the cause under the id of the request",
    "503": "No model is loaded yet",
    "504": "The request took too long",
}


def describe(endpoint: str, schema: dict[str, Kind], *, with_tokens: bool) -> dict[str, Any]:
    """Describe the API in OpenAPI; `schema` has the model's input fields, if one is loaded."""
    schema = schema or {
        name: "string" if isinstance(value, str) else "double" for name, value in EXAMPLE.items()
    }
    values = {name: "text" if kind == "string" else 1.0 for name, kind in schema.items()}
    example = {name: EXAMPLE.get(name, value) for name, value in values.items()}
    security: dict[str, Any] = {"security": [{"token": []}]} if with_tokens else {}
    schemes = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
    invocation = _invocation(example, with_tokens=with_tokens) | security
    return {
        "openapi": "3.0.3",
        "info": {
            "title": endpoint,
            "version": version("marvel_kedro"),
            "description": "Is a character alive? The contract is that of MLflow and Databricks.",
        },
        "servers": [{"url": "./"}],
        "paths": {
            "/invocations": {"post": invocation | {"operationId": "invoke"}},
            f"/serving-endpoints/{endpoint}/invocations": {
                "post": invocation | {"operationId": "invoke_by_name"}
            },
            "/health": {"get": _page("health", "Readiness: a model is loaded", "200", "503")},
            "/ping": {"get": _page("ping", "Liveness of the server", "200")},
            "/version": {"get": _page("version", "Served versions", "200") | security},
            "/metrics": {
                "get": _page("metrics", "Metrics for Prometheus", "200", media_type="text/plain")
                | security
            },
        },
        "components": {"schemas": _schemas(schema, example), **(schemes if with_tokens else {})},
    }


def _page(
    name: str, summary: str, *statuses: str, media_type: str = "application/json"
) -> dict[str, Any]:
    schema = {"type": "string" if media_type == "text/plain" else "object"}
    response = {"description": summary, "content": {media_type: {"schema": schema}}}
    return {
        "summary": summary,
        "tags": ["Server"],
        "operationId": name,
        "responses": dict.fromkeys(statuses, response),
    }


def _invocation(example: dict[str, Any], *, with_tokens: bool) -> dict[str, Any]:
    def content(schema: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        return {"content": {"application/json": {"schema": _reference(schema), **more}}}

    errors = _ERRORS | ({"401": "The token is missing or wrong"} if with_tokens else {})
    split = {"columns": list(example), "data": [list(example.values())]}
    examples = {
        "records": {"dataframe_records": [example]},
        "split": {"dataframe_split": split},
        "sticky": {"client_request_id": "reader-7", "instances": [example]},
        "columns": {"inputs": {name: [value] for name, value in example.items()}},
    }
    named = {name: {"value": value} for name, value in examples.items()}
    return {
        "summary": "Score records",
        "tags": ["Invocations"],
        "description": (
            "Send exactly one of `dataframe_records`, `dataframe_split`, `instances` and `inputs`. "
            "Every field of a record may be null or left out, but not all fields of all records."
        ),
        "requestBody": {"required": True, **content("Invocation", examples=named)},
        "responses": {
            "200": {"description": _PREDICTIONS, **content("Predictions")},
            **{code: {"description": text, **content("Error")} for code, text in errors.items()},
        },
    }


def _schemas(schema: dict[str, Kind], example: dict[str, Any]) -> dict[str, Any]:
    text, values = {"type": "string"}, {"type": "array", "items": {}}
    fields: dict[str, Any] = {
        name: {"type": "string" if kind == "string" else "number", "nullable": True}
        for name, kind in schema.items()
    }
    completed = "Fields that the record lacks are taken from the table of characters"
    fields["page_id"] = {**text, "nullable": True, "description": completed}
    mapping = {"type": "object", "additionalProperties": True}
    records = {"type": "array", "items": _reference("Record")}
    schemas = {
        "Record": _object(
            "A record, whose fields are those of the served model.", fields, example=example
        ),
        "DataframeSplit": _object(
            "Column names and rows.",
            {
                "columns": {"type": "array", "items": {**text, "enum": list(fields)}},
                "data": {"type": "array", "items": values},
                "index": values,
            },
            required=["columns", "data"],
            additionalProperties=False,
        ),
        "Invocation": _object(
            "Records in exactly one of four forms.",
            {
                "dataframe_split": _reference("DataframeSplit"),
                "dataframe_records": records,
                "instances": records,
                "inputs": {"anyOf": [records, mapping]},
                "params": {**mapping, "nullable": True, "description": "The model has none"},
                "client_request_id": {
                    **text,
                    "maxLength": MAX_ID_CHARACTERS,
                    "nullable": True,
                    "description": "Requests with the same id go to the same served entity",
                },
            },
            oneOf=[{"required": [form]} for form in FORMS],
            # Without an example Swagger UI builds a body with all four forms.
            example={"dataframe_records": [example]},
        ),
        "Prediction": _object(
            "The prediction for one record.",
            {
                "prediction": {**text, "enum": ["Alive", "Dead"]},
                "probability": {"type": "number", "minimum": 0, "maximum": 1},
            },
            required=["prediction", "probability"],
        ),
        "Predictions": _object(
            _PREDICTIONS,
            {"predictions": {"type": "array", "items": _reference("Prediction")}},
            required=["predictions"],
        ),
        "Error": _object(
            "A rejected request.",
            {"error_code": text, "message": text},
            required=["error_code", "message"],
        ),
    }
    return {name: {"title": name, **one} for name, one in schemas.items()}


def _object(description: str, properties: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"type": "object", "description": description, "properties": properties, **more}


def _reference(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}
