"""The description of the API, held against the server by schemathesis."""

from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from server.running import Server

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@pytest.fixture(scope="module")
def described(served: Server) -> Any:
    answer = served.ask("/openapi.json", headers={"Authorization": ""})
    assert answer.status_code == 200
    document = answer.json()
    return schemathesis.openapi.from_dict(document)


schema = schemathesis.pytest.from_fixture("described")


@schema.parametrize()
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
def test_the_server_is_as_described(case: Any, served: Server) -> None:
    with requests.Session() as session:
        session.trust_env = False
        case.call_and_validate(
            base_url=served.url, headers=served.headers, session=session, checks=CHECKS
        )
