"""Rejected requests, and their messages."""

import logging
from typing import Any

import pytest
from databricks.sdk import WorkspaceClient
from support.workspace import faults
from support.workspace.endpoint import NAME, ONE, deploy, deploy_error, promote, spec
from support.workspace.host import Host
from support.workspace.server import TOKEN, ApiError, Reply

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import workspace
from marvel_kedro.databricks.endpoint import deployment


@pytest.mark.parametrize("reply", [faults.EXPIRED, faults.REVOKED])
def test_token_expired_while_waiting_is_reported_and_deploy_resumes(
    host: Host, client: WorkspaceClient, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(client)
    promote(host, "3")
    host.serving.polls = 5
    caplog.set_level(logging.DEBUG)
    target = spec()
    host.workspace.fail(reply, f"GET {ONE}$", after=3)
    with pytest.raises(ProjectError) as fault:
        deployment.deploy(client, target)
    message = str(fault.value)
    assert "its update continues without that" in message
    assert "Make a new one" in message
    assert TOKEN not in message + caplog.text
    assert deploy(client) == []  # waited for the end, and tested the new version
    assert host.serving.served(NAME)["champion"] == "3"


@pytest.mark.parametrize("path", ["POST .*/serving-endpoints$", "PUT .*/config", "POST .*/invoc"])
def test_deploy_retries_busy_workspace(host: Host, client: WorkspaceClient, path: str) -> None:
    if "PUT" in path:
        deploy(client)
        promote(host, "3")
    host.workspace.fail(faults.BUSY, path)
    assert deploy(client)
    assert deploy(client) == []


@pytest.mark.parametrize(
    "act",
    [
        ("POST .*/serving-endpoints$", None),
        ("PUT .*/config", {"traffic": {"champion": 100}}),
        ("PUT .*/ai-gateway", {"inference_table": {"enabled": False}}),
        ("PATCH .*/tags", {"databricks": {"tags": {"project": "other"}}}),
        ("PATCH .*/permissions", {"databricks": {"query_groups": ["analysts"]}}),
    ],
    ids=["created", "updated", "gateway", "tags", "permissions"],
)
@pytest.mark.parametrize(
    "refusal",
    [
        (
            ApiError(403, "PERMISSION_DENIED", "User does not have CAN_MANAGE.").reply,
            "CREATE TABLE ON SCHEMA",
        ),
        (ApiError(409, "RESOURCE_CONFLICT", "It is being updated.").reply, "Another deployment"),
        (ApiError(400, "INVALID_STATE", "It is being updated.").reply, "Another deployment"),
        (ApiError(404, "RESOURCE_DOES_NOT_EXIST", "There is none.").reply, "it was deleted"),
        (
            ApiError(400, "INVALID_PARAMETER_VALUE", "Not so.").reply,
            "Correct the section `endpoint`",
        ),
        (faults.EXPIRED, "Make a new one"),
        (faults.BROKEN, "busy, broken or out of reach"),
    ],
    ids=["privilege", "conflict", "state", "gone", "bad", "token", "broken"],
)
def test_rejected_request_is_reported_with_remedy(
    host: Host,
    client: WorkspaceClient,
    act: tuple[str, dict[str, Any] | None],
    refusal: tuple[Reply, str],
) -> None:
    (path, changes), (reply, remedy) = act, refusal
    if changes is not None:
        deploy(client)
    host.workspace.fail(reply, path)
    message = deploy_error(client, **(changes or {}))
    assert reply.body["message"] in message
    assert remedy in message
    assert deploy(client, **(changes or {}))
    assert deploy(client, **(changes or {})) == []


def test_exhausted_quota_is_reported(host: Host, client: WorkspaceClient) -> None:
    host.serving.quota = 0
    assert "delete an endpoint that is no longer needed" in deploy_error(client)


def test_concurrent_deployment_is_reported(host: Host, client: WorkspaceClient) -> None:
    """The other update begins between the look-up and the update of this deployment."""
    deploy(client)
    promote(host, "3")
    target = spec()
    send = client.serving_endpoints.update_config

    def late(*values: Any, **more: Any) -> Any:
        send(*values, **more)
        return send(*values, **more)

    client.serving_endpoints.update_config = late  # type: ignore[method-assign]
    with pytest.raises(ProjectError, match="Another deployment changes it at the same time"):
        deployment.deploy(client, target)
    client.serving_endpoints.update_config = send  # type: ignore[method-assign]
    assert deployment.deploy(client, target) == []


def test_endpoint_deleted_during_deploy_is_reported(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    promote(host, "3")
    gone = ApiError(404, "RESOURCE_DOES_NOT_EXIST", "There is none.").reply
    host.workspace.fail(gone, f"GET {ONE}$", after=2)
    assert "Either it was deleted" in deploy_error(client)
    client.serving_endpoints.delete(NAME)
    (line,) = deploy(client)
    assert "is new" in line


def test_connect_without_login_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    with pytest.raises(ProjectError, match=r"databricks auth login"):
        workspace.connect()
