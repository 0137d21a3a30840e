"""The description of the API, checked against a server by schemathesis."""

import csv
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.examples import at_most
from support.running_server import Server

from marvel_kedro.serving.http.openapi import describe

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
PAGES = ("/health", "/ping", "/version", "/metrics")
INVOCATIONS = ("/invocations", "/serving-endpoints/marvel/invocations")


@pytest.fixture(scope="module")
def described(served: Server) -> Any:
    answer = served.ask("/openapi.json", headers={"Authorization": ""})
    assert answer.status_code == 200
    schema = schemathesis.openapi.from_dict(answer.json())
    assert sorted(schema) == sorted(PAGES + INVOCATIONS)
    schema.validate()
    return schema


def check(served: Server, operation: Any, mode: GenerationMode, examples: int) -> set[int]:
    """Send generated requests, valid or invalid by the mode, and return the answers' statuses."""
    statuses = set()
    with requests.Session() as session:
        session.trust_env = False

        @at_most(examples, suppress_health_check=list(HealthCheck))
        @given(operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            options = {"base_url": served.url, "session": session}
            answer = case.call(headers=served.headers, **options)
            case.validate_response(answer, checks=CHECKS)
            statuses.add(answer.status_code)

        send()
    return statuses


@pytest.mark.parametrize("path", PAGES)
def test_pages_conform_to_the_description(served: Server, described: Any, path: str) -> None:
    assert check(served, described[path]["GET"], GenerationMode.POSITIVE, 2) == {200}


@pytest.mark.parametrize("path", INVOCATIONS)
@pytest.mark.parametrize("mode", list(GenerationMode))
def test_invocations_conform_to_the_description(
    served: Server, described: Any, path: str, mode: GenerationMode
) -> None:
    statuses = check(served, described[path]["POST"], mode, 100)
    assert statuses & ({200} if mode is GenerationMode.POSITIVE else {400, 415})


def test_example_has_the_columns_of_another_model() -> None:
    schema: dict[str, Any] = {"tariff": "string", "gender": "string", "balance": "double"}
    schema |= {"height": "string", "origin": "double"}  # other kinds than those of this project
    described = describe("churn", schema, with_tokens=False)
    example = described["components"]["schemas"]["Invocation"]["example"]
    record = {"tariff": "text", "gender": "Female", "balance": 1.0, "height": "text", "origin": 1.0}
    assert example == {"dataframe_records": [record]}
    sent = described["paths"]["/invocations"]["post"]["requestBody"]["content"]
    columns = sent["application/json"]["examples"]["columns"]["value"]
    assert columns == {"inputs": {name: [value] for name, value in record.items()}}
    (header, row) = csv.reader(sent["text/csv"]["example"].splitlines())
    assert dict(zip(header, row, strict=True)) == {k: str(v) for k, v in record.items()}
    assert sent.keys() == {"application/json", "text/csv", "application/vnd.apache.parquet"}


def test_description_accepts_any_column_name() -> None:
    """pydantic refuses some of them as names of its own fields."""
    schema: dict[str, Any] = dict.fromkeys(("model_config", "_x", "schema", "a b"), "double")
    described = describe("churn", schema, with_tokens=False)
    number = {"type": "number", "nullable": True}
    fields = described["components"]["schemas"]["Record"]["properties"]
    assert {name: fields.pop(name) for name in schema} == dict.fromkeys(schema, number)
    assert fields.keys() == {"page_id"}
    split = described["components"]["schemas"]["DataframeSplit"]
    assert split["properties"]["columns"]["items"]["enum"] == [*schema, "page_id"]
