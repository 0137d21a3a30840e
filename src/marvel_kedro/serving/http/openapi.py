"""Description of the API in OpenAPI 3.0, with examples that work unchanged."""

import csv
from importlib.metadata import version
from io import StringIO
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from marvel_kedro.model.request_example import InputField, first_record, values
from marvel_kedro.serving.http.content import CSV, JSON, PARQUET
from marvel_kedro.serving.http.protocol import FORMS, MAX_ID_CHARACTERS
from marvel_kedro.serving.models.loaded_model import Interface
from marvel_kedro.table.description import TableSpec

_ERRORS = {
    "400": "The body or a value in it is invalid",
    "413": "The body is too long",
    "415": "The body is not JSON, CSV or Parquet in UTF-8, or compressed in another way",
    "429": "Too many concurrent requests; the header Retry-After has the seconds to wait",
    "500": "Internal server error; the server's log has the cause under the id of the request",
    "503": "No model is loaded yet",
    "504": "The request took too long",
}


_TYPES: dict[str, Any] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "datetime": str,
}
"""Types of JSON by MLflow's names."""


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


def describe(
    endpoint: str, table: TableSpec, model: Interface | None, *, with_tokens: bool
) -> dict[str, Any]:
    """Describe the API.

    Args:
        endpoint: Name of the endpoint.
        table: The table whose records are scored.
        model: The served model; None if none is loaded.
        with_tokens: Whether requests need a token.

    Returns:
        An OpenAPI document.
    """
    if model is None:  # until then, records of the table
        inputs = (
            InputField(name, "double" if column.is_number else "string")
            for name, column in table.inputs.items()
        )
        model = Interface(tuple(inputs), classes=table.target.classes)
    example = model.example or {"dataframe_records": [values(model.inputs)]}
    security: dict[str, Any] = {"security": [{"token": []}]} if with_tokens else {}
    schemes = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
    invocation = _invocation(example, is_own=model.is_own, with_tokens=with_tokens) | security
    return {
        "openapi": "3.0.3",
        "info": {
            "title": endpoint,
            "version": version("marvel_kedro"),
            "description": f"{table.question} The contract is that of MLflow and Databricks.",
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
            "schemas": _schemas(table, model, example),
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


def _invocation(example: dict[str, Any], *, is_own: bool, with_tokens: bool) -> dict[str, Any]:
    def content(model: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        schema = {"$ref": f"#/components/schemas/{model}"}
        return {"content": {JSON: {"schema": schema, **more}}}

    errors = _ERRORS | ({"401": "The token is missing or wrong"} if with_tokens else {})
    named = {name: {"value": value} for name, value in _examples(example).items()}
    sent = content("Invocation", examples=named)["content"] | {
        CSV: {"schema": {"type": "string"}},
        PARQUET: {"schema": {"type": "string", "format": "binary"}},
    }
    if record := first_record(example):
        sent[CSV]["example"] = _csv(record)
    nulls = (
        "Every field of a record may be null or left out, but not all fields of all records. "
        if is_own
        else "The signature of the model decides which fields may be null or left out. "
    )
    return {
        "summary": "Score records",
        "tags": ["Invocations"],
        "description": (
            "Send exactly one of `dataframe_records`, `dataframe_split`, `instances` and `inputs`. "
            f"{nulls}A table may be CSV or Parquet instead; an empty cell and `NA` are null. "
            "With the header Content-Encoding the body may be compressed by gzip or deflate."
        ),
        "requestBody": {"required": True, "content": sent},
        "responses": {
            "200": {
                "description": "One prediction for each record, in their order.",
                **content("Predictions"),
            },
            **{code: {"description": text, **content("Error")} for code, text in errors.items()},
        },
    }


def _examples(example: dict[str, Any]) -> dict[str, Any]:
    """Return the same records in each form, if they have named columns."""
    record = first_record(example)
    if not record:
        return {"example": example}
    return {
        "records": {"dataframe_records": [record]},
        "split": {"dataframe_split": {"columns": list(record), "data": [list(record.values())]}},
        "sticky": {"client_request_id": "reader-7", "instances": [record]},
        "columns": {"inputs": {name: [value] for name, value in record.items()}},
    }


def _csv(example: dict[str, Any]) -> str:
    file = StringIO()
    csv.writer(file, lineterminator="\n").writerows([example.keys(), example.values()])
    return file.getvalue()


def _schemas(table: TableSpec, model: Interface, example: dict[str, Any]) -> dict[str, Any]:
    # By alias: a column may have a name that pydantic refuses.
    fields: dict[str, Any] = {
        f"field_{number}": (
            (kind, Field(alias=field.name))
            if field.required
            else (kind | None, Field(None, alias=field.name))
        )
        for number, field in enumerate(model.inputs)
        for kind in [_TYPES.get(field.type, Any)]
    }
    if model.is_own:
        completed = "fields that the record lacks are taken from the table online_records"
        description = f"The key of a {table.row.one}: {completed}"
        fields["key"] = (str | None, Field(None, alias=table.key, description=description))
    record = create_model("Record", __doc__=Record.__doc__, **fields)
    _, definitions = models_json_schema(
        [(each, "validation") for each in (Invocation, _predictions(model), Error)],
        ref_template="#/components/schemas/{model}",
        schema_generator=_OpenAPISchema,
    )
    schemas: dict[str, Any] = definitions["$defs"]
    schemas["Record"] = record.model_json_schema(schema_generator=_OpenAPISchema)
    if one := first_record(example):
        schemas["Record"]["example"] = one
    if model.inputs:
        columns = schemas["DataframeSplit"]["properties"]["columns"]
        columns["items"]["enum"] = list(schemas["Record"]["properties"])
    # Without an example Swagger UI builds a body with all four forms.
    schemas["Invocation"]["example"] = example
    return schemas


def _predictions(model: Interface) -> type[BaseModel]:
    """Return the schema of an answer, which only this project's models promise."""
    rows: Any = Any
    if model.is_own:
        prediction: Any = Literal[model.classes] if model.classes else str
        row: Any = create_model(
            "Prediction",
            __base__=Schema,
            __doc__="The prediction for one record.",
            prediction=(prediction, ...),
            probability=(Annotated[float, Field(ge=0, le=1)], ...),
        )
        rows = list[row]
    doc = "One prediction for each record, in their order."
    return create_model("Predictions", __base__=Schema, __doc__=doc, predictions=(rows, ...))
