"""Description of the API in OpenAPI 3.0, with examples that work unchanged."""

import csv
from functools import lru_cache
from importlib.metadata import version
from io import StringIO
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from marvel_kedro.serving.http.content import CSV, JSON, PARQUET
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
_ERRORS = {
    "400": "The body or a value in it is invalid",
    "413": "The body is too long",
    "415": "The body is not JSON, CSV or Parquet in UTF-8, or compressed in another way",
    "429": "Too many concurrent requests; the header Retry-After has the seconds to wait",
    "500": "Internal server error; the server's log has the cause under the id of the request",
    "503": "No model is loaded yet",
    "504": "The request took too long",
}


class Schema(BaseModel, defer_build=True):
    """Base of the models that describe bodies; `protocol` parses them."""


class Record(Schema):
    """A record, whose fields are those of the served model."""


class DataframeSplit(Schema, extra="forbid"):
    """Column names and rows."""

    columns: list[str]
    data: list[list[Any]]
    index: list[Any] = []


def _require_one_form(schema: dict[str, Any]) -> None:
    schema["oneOf"] = [{"required": [form]} for form in FORMS]
    del schema["required"]


class Invocation(Schema):
    """Records in exactly one of four forms."""

    model_config = ConfigDict(json_schema_extra=_require_one_form)

    dataframe_split: DataframeSplit
    dataframe_records: list[Record]
    instances: list[Record]
    inputs: list[Record] | dict[str, Any]
    params: dict[str, Any] | None = Field(None, description="The model has none")
    client_request_id: str | None = Field(
        None,
        max_length=MAX_ID_CHARACTERS,
        description="Requests with the same id go to the same served entity",
    )


class Prediction(Schema):
    """The prediction for one record."""

    prediction: Literal["Alive", "Dead"]
    probability: Annotated[float, Field(ge=0, le=1)]


class Predictions(Schema):
    """One prediction for each record, in their order."""

    predictions: list[Prediction]


class Error(Schema):
    """A rejected request."""

    error_code: str
    message: str


class _OpenAPISchema(GenerateJsonSchema):
    """JSON schemas of OpenAPI 3.0, which has `nullable` instead of the type null."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"]) | {"nullable": True}

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002 - pydantic's method
        return False


def describe(endpoint: str, schema: dict[str, Kind], *, with_tokens: bool) -> dict[str, Any]:
    """Describe the API.

    Args:
        endpoint: Name of the endpoint.
        schema: Kind by input field of the served model; empty if no model is loaded.
        with_tokens: Whether requests need a token.

    Returns:
        An OpenAPI document.
    """
    values = {name: "text" if kind == "string" else 1.0 for name, kind in schema.items()}
    example = {
        name: found if type(found := EXAMPLE.get(name)) is type(value) else value
        for name, value in values.items()
    } or EXAMPLE
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
        "components": {
            "schemas": _schemas(tuple(schema.items()), tuple(example.items())),
            **(schemes if with_tokens else {}),
        },
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
    def content(model: type[Schema], **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        schema = {"$ref": f"#/components/schemas/{model.__name__}"}
        return {"content": {JSON: {"schema": schema, **more}}}

    errors = _ERRORS | ({"401": "The token is missing or wrong"} if with_tokens else {})
    split = {"columns": list(example), "data": [list(example.values())]}
    examples = {
        "records": {"dataframe_records": [example]},
        "split": {"dataframe_split": split},
        "sticky": {"client_request_id": "reader-7", "instances": [example]},
        "columns": {"inputs": {name: [value] for name, value in example.items()}},
    }
    named = {name: {"value": value} for name, value in examples.items()}
    sent = content(Invocation, examples=named)["content"] | {
        CSV: {"schema": {"type": "string"}, "example": _csv(example)},
        PARQUET: {"schema": {"type": "string", "format": "binary"}},
    }
    return {
        "summary": "Score records",
        "tags": ["Invocations"],
        "description": (
            "Send exactly one of `dataframe_records`, `dataframe_split`, `instances` and `inputs`. "
            "Every field of a record may be null or left out, but not all fields of all records. "
            "A table may be CSV or Parquet instead; an empty cell and `NA` are null. "
            "With the header Content-Encoding the body may be compressed by gzip or deflate."
        ),
        "requestBody": {"required": True, "content": sent},
        "responses": {
            "200": {"description": Predictions.__doc__, **content(Predictions)},
            **{code: {"description": text, **content(Error)} for code, text in errors.items()},
        },
    }


def _csv(example: dict[str, Any]) -> str:
    file = StringIO()
    csv.writer(file, lineterminator="\n").writerows([example.keys(), example.values()])
    return file.getvalue()


@lru_cache(maxsize=1)  # requests for the description do not delay others
def _schemas(
    schema: tuple[tuple[str, Kind], ...], example: tuple[tuple[str, Any], ...]
) -> dict[str, Any]:
    kinds = {name: str if kind == "string" else float for name, kind in schema} or {
        name: type(value) for name, value in example
    }
    completed = "Fields that the record lacks are taken from the table online_records"
    # By alias: a column may have a name that pydantic refuses.
    fields: dict[str, Any] = {
        f"field_{number}": (kind | None, Field(None, alias=name))
        for number, (name, kind) in enumerate(kinds.items())
    }
    fields["page_id"] = (str | None, Field(None, description=completed))
    record = create_model("Record", __doc__=Record.__doc__, **fields)
    _, definitions = models_json_schema(
        [(model, "validation") for model in (Invocation, Predictions, Error)],
        ref_template="#/components/schemas/{model}",
        schema_generator=_OpenAPISchema,
    )
    schemas: dict[str, Any] = definitions["$defs"]
    schemas["Record"] = record.model_json_schema(schema_generator=_OpenAPISchema)
    schemas["Record"]["example"] = dict(example)
    columns = schemas["DataframeSplit"]["properties"]["columns"]
    columns["items"]["enum"] = list(schemas["Record"]["properties"])
    # Without an example Swagger UI builds a body with all four forms.
    schemas["Invocation"]["example"] = {"dataframe_records": [dict(example)]}
    return schemas
