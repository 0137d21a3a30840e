"""The description of the API, by OpenAPI 3.0, with an example that works as it is."""

from importlib.metadata import version
from typing import Any

from marvel_kedro.serving.http.protocol import MOST_OF_AN_ID, Kind

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
_FORM_TEXT = (
    "Send exactly one of `dataframe_records`, `dataframe_split`, `instances` and `inputs`. "
    "Every field of a record may be null or left out, but not all of all records."
)
_REFUSALS = {
    "400": "The body, or a value in it, is not what is asked for",
    "413": "The body is too long",
    "415": "The body is not JSON",
    "429": "Too many requests at once; the header Retry-After says when to come again",
    "500": "The server is at fault; its log says more under the id of the request",
    "503": "No model is loaded yet",
    "504": "It took too long",
}


def describe(endpoint: str, schema: dict[str, Kind], *, with_tokens: bool) -> dict[str, Any]:
    """Describe the API.

    Args:
        endpoint: Name of the endpoint.
        schema: Kind by input field of the model that is served.
        with_tokens: Whether callers need a token.

    Returns:
        An OpenAPI document.
    """
    fields = {name: _field(kind) for name, kind in schema.items()} or {
        name: _field("string" if isinstance(value, str) else "double")
        for name, value in EXAMPLE.items()
    }
    fields["page_id"] = _field("string") | {
        "description": "What the record lacks is taken from the table of characters"
    }
    example = _example(schema)
    invocation = _invocation(example, with_tokens=with_tokens)
    document: dict[str, Any] = {
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
            "/health": {"get": _page("Whether a model is loaded", "health", ("200", "503"))},
            "/ping": {"get": _page("Whether the server is there", "ping", ("200",))},
            "/version": {
                "get": _page("What is served", "version", ("200",)) | _secured(with_tokens)
            },
            "/metrics": {
                "get": _page("Metrics for Prometheus", "metrics", ("200",), "text/plain")
                | _secured(with_tokens)
            },
        },
        "components": {
            "schemas": {
                "Record": {"type": "object", "properties": fields, "example": example},
                "Invocation": _body(list(fields), example),
                "Predictions": _PREDICTIONS,
                "Refusal": _REFUSAL,
            }
        },
    }
    if with_tokens:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    return document


def _example(schema: dict[str, Kind]) -> dict[str, Any]:
    """A record that the model takes, whatever its columns are."""
    made_up = {name: "text" if kind == "string" else 1.0 for name, kind in schema.items()}
    return {name: EXAMPLE.get(name, value) for name, value in made_up.items()} or EXAMPLE


def _field(kind: Kind) -> dict[str, Any]:
    return {"type": "string" if kind == "string" else "number", "nullable": True}


def _secured(with_tokens: bool) -> dict[str, Any]:
    return {"security": [{"token": []}]} if with_tokens else {}


def _page(
    summary: str, name: str, statuses: tuple[str, ...], kind: str = "application/json"
) -> dict[str, Any]:
    content = {kind: {"schema": {"type": "string" if kind == "text/plain" else "object"}}}
    return {
        "summary": summary,
        "tags": ["Server"],
        "operationId": name,
        "responses": {status: {"description": summary, "content": content} for status in statuses},
    }


def _invocation(example: dict[str, Any], *, with_tokens: bool) -> dict[str, Any]:
    def answer(schema: str, description: str) -> dict[str, Any]:
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
        return {"description": description, "content": content}

    refusals = _REFUSALS | ({"401": "The token is missing or wrong"} if with_tokens else {})
    examples = {
        "records": {"dataframe_records": [example]},
        "split": {
            "dataframe_split": {"columns": list(example), "data": [list(example.values())]},
        },
        "sticky": {"client_request_id": "reader-7", "instances": [example]},
        "columns": {"inputs": {name: [value] for name, value in example.items()}},
    }
    return {
        "summary": "Score records",
        "tags": ["Invocations"],
        "description": _FORM_TEXT,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/Invocation"},
                    "examples": {name: {"value": value} for name, value in examples.items()},
                }
            },
        },
        "responses": {
            "200": answer("Predictions", "One prediction a record, in their order"),
            **{status: answer("Refusal", text) for status, text in sorted(refusals.items())},
        },
    } | _secured(with_tokens)


def _body(fields: list[str], example: dict[str, Any]) -> dict[str, Any]:
    record = {"$ref": "#/components/schemas/Record"}
    column = {"type": "array", "items": {}}
    rows = {"type": "array", "items": record}
    forms: dict[str, Any] = {
        "dataframe_records": rows,
        "dataframe_split": {
            "type": "object",
            "required": ["columns", "data"],
            "additionalProperties": False,
            "properties": {
                "columns": {"type": "array", "items": {"type": "string", "enum": fields}},
                "data": {"type": "array", "items": column},
                "index": {"type": "array", "items": {}},
            },
        },
        "instances": rows,
        "inputs": {"anyOf": [rows, {"type": "object"}]},
    }
    others = {
        "params": {"type": "object", "nullable": True, "description": "The model has none"},
        "client_request_id": {
            "type": "string",
            "maxLength": MOST_OF_AN_ID,
            "nullable": True,
            "description": "The same one always comes to the same served entity",
        },
    }
    return {
        "type": "object",
        "properties": forms | others,
        "oneOf": [{"required": [form]} for form in forms],
        # Swagger UI makes a body of its own, with all four forms, where the schema has no example.
        "example": {"dataframe_records": [example]},
    }


_PREDICTIONS = {
    "type": "object",
    "required": ["predictions"],
    "properties": {
        "predictions": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["prediction", "probability"],
                "properties": {
                    "prediction": {"type": "string", "enum": ["Alive", "Dead"]},
                    "probability": {"type": "number", "minimum": 0, "maximum": 1},
                },
            },
        }
    },
}
_REFUSAL = {
    "type": "object",
    "required": ["error_code", "message"],
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
}
