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
from support.churn import CHURN
from support.examples import at_most
from support.running_server import Server

from marvel_kedro.model.request_example import InputField
from marvel_kedro.serving.http.openapi import describe
from marvel_kedro.serving.models.loaded_model import Interface

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


def interface(**types: str) -> Interface:
    """An interface whose fields have the types of MLflow."""
    return Interface(tuple(InputField(name, kind) for name, kind in types.items()))


def test_without_an_example_values_are_those_of_the_types() -> None:
    model = interface(tariff="string", balance="double", calls="long", partner="boolean")
    described = describe("churn", CHURN, model, with_tokens=False)
    example = described["components"]["schemas"]["Invocation"]["example"]
    record = {"tariff": "text", "balance": 1.0, "calls": 1, "partner": True}
    assert example == {"dataframe_records": [record]}
    sent = described["paths"]["/invocations"]["post"]["requestBody"]["content"]
    columns = sent["application/json"]["examples"]["columns"]["value"]
    assert columns == {"inputs": {name: [value] for name, value in record.items()}}
    (header, row) = csv.reader(sent["text/csv"]["example"].splitlines())
    assert dict(zip(header, row, strict=True)) == {k: str(v) for k, v in record.items()}
    assert sent.keys() == {"application/json", "text/csv", "application/vnd.apache.parquet"}


def test_without_a_model_the_table_is_described() -> None:
    described = describe("churn", CHURN, None, with_tokens=False)
    assert described["info"]["description"].startswith("Is churned Yes or No? ")
    schemas = described["components"]["schemas"]
    assert schemas["Record"]["properties"].keys() == {*CHURN.inputs, "customer"}
    assert "customer" in schemas["Record"]["properties"]["customer"]["description"]
    assert schemas["Prediction"]["properties"]["prediction"]["enum"] == ["Yes", "No"]


def test_description_accepts_any_column_name() -> None:
    """pydantic refuses some of them as names of its own fields."""
    names = ("model_config", "_x", "schema", "a b", "key")
    model = interface(**dict.fromkeys(names, "double"))
    described = describe("churn", CHURN, model, with_tokens=False)
    number = {"type": "number", "nullable": True}
    fields = described["components"]["schemas"]["Record"]["properties"]
    assert {name: fields.pop(name) for name in names} == dict.fromkeys(names, number)
    assert fields.keys() == {"customer"}
    split = described["components"]["schemas"]["DataframeSplit"]
    assert split["properties"]["columns"]["items"]["enum"] == [*names, "customer"]
