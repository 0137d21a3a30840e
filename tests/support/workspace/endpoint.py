"""The endpoint that tests deploy to the fake workspace, and the requests that change it."""

import re
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from support.workspace.host import SCHEMA, Host
from support.workspace.server import TOKEN, Request

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.endpoint import deployment
from marvel_kedro.databricks.endpoint.spec import EndpointSpec
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.serving.models.served_versions import served_versions

NAME, MODEL = "characters", f"{SCHEMA}.marvel_characters"
CATALOG, _, SCHEMA_NAME = SCHEMA.partition(".")
ONE = f"/api/2.0/serving-endpoints/{NAME}"


def configured(**changes: Any) -> EndpointOptions:
    """Return the endpoint of the project's parameters, with some keys changed."""
    databricks = {"rate_limits": [{"calls": 600}], "tags": {"project": "marvel"}}
    options: dict[str, Any] = {
        "name": NAME,
        "model": MODEL,
        "served_entities": [
            {"name": "champion", "alias": "champion"},
            {"name": "challenger", "alias": "challenger"},
        ],
        "traffic": {"champion": 90, "challenger": 10},
        "databricks": databricks | changes.pop("databricks", {}),
    }
    return EndpointOptions.model_validate(options | changes)


def spec(**changes: Any) -> EndpointSpec:
    options = configured(**changes)
    return EndpointSpec.of(options, served_versions(options), CATALOG, SCHEMA_NAME)


def deploy(client: WorkspaceClient, **changes: Any) -> list[str]:
    return deployment.deploy(client, spec(**changes))


def deploy_error(client: WorkspaceClient, **changes: Any) -> str:
    """Return the message of a deployment that fails."""
    with pytest.raises(ProjectError) as fault:
        deploy(client, **changes)
    message = str(fault.value)
    assert NAME in message
    assert TOKEN not in message
    assert "Config:" not in message
    return message


def changed(host: Host, since: int = 0) -> list[Request]:
    """Return the requests that change an endpoint: all but reads and invocations."""
    return [
        sent
        for sent in host.workspace.requests[since:]
        if sent.method != "GET" and not re.search(r"invocations|/2.0/(fs|mlflow)/", sent.path)
    ]


def paths(requests: list[Request]) -> list[str]:
    return [f"{sent.method} {sent.path.removeprefix(ONE)}" for sent in requests]


def promote(host: Host, number: str) -> None:
    """Register a new champion."""
    host.registry.put(MODEL, number, "champion")
