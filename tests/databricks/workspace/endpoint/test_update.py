"""Updates of an endpoint: waiting, roll-back and progress."""

import logging
from datetime import timedelta

import databricks.sdk.service.serving as sdk
import pytest
from databricks.sdk import WorkspaceClient
from support.workspace.clock import Clock
from support.workspace.endpoint import NAME, changed, deploy, deploy_error, paths, promote, spec
from support.workspace.host import Host

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.endpoint import deployment


def test_deploy_waits_for_update_in_progress(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    host.serving.polls = 5
    promote(host, "3")
    target = spec()
    client.serving_endpoints.update_config(
        NAME,
        served_entities=list(target.entities),
        traffic_config=sdk.TrafficConfig(routes=[sdk.Route(100, "champion")]),
    )
    lines = deployment.deploy(client, target)
    assert lines == ["traffic: champion 100 % -> champion 90 %, challenger 10 %"]
    assert host.serving.served(NAME)["champion"] == "3"


def test_deploy_repairs_endpoint_that_never_started(host: Host, client: WorkspaceClient) -> None:
    host.serving.unhealthy = {"1"}
    message = deploy_error(client)
    assert "champion version 1: The container exited with 1." in message
    assert "Nothing was served before" in message
    host.serving.unhealthy = set()
    deploy(client)
    assert host.serving.served(NAME) == {"champion": "1", "challenger": "2"}
    assert deploy(client) == []


def test_failed_update_is_rolled_back(host: Host, client: WorkspaceClient) -> None:
    deploy(client, traffic={"champion": 100, "challenger": 0})
    promote(host, "3")
    host.serving.unhealthy = {"3"}
    since = len(host.workspace.requests)
    message = deploy_error(client)
    assert "champion version 3: The container exited with 1." in message
    assert "Rolled back: champion version 1, challenger version 2" in message
    assert paths(changed(host, since)) == ["PUT /config", "PUT /config"]
    assert host.serving.served(NAME) == {"champion": "1", "challenger": "2"}
    assert host.serving.traffic(NAME) == {"champion": 100, "challenger": 0}
    assert host.serving.endpoints[NAME]["state"]["config_update"] == "NOT_UPDATING"
    host.serving.unhealthy = set()
    deploy(client)
    assert host.serving.served(NAME)["champion"] == "3"


def test_failed_rollback_reports_both_errors(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    promote(host, "3")
    host.serving.unhealthy = {"1", "3"}
    message = deploy_error(client)
    assert "champion version 3: The container exited" in message
    assert "Rolling back to champion version 1, challenger version 2" in message
    assert "failed, too" in message
    assert (
        message.index("version 3: The")
        < message.index("failed, too")
        < message.index("version 1: The")
    )
    host.serving.unhealthy = set()
    deploy(client)  # finds the failed state and the old version, and repairs both
    assert host.serving.served(NAME)["champion"] == "3"
    assert deploy(client) == []


def test_deploy_reapplies_configuration_after_foreign_failed_update(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client)
    host.serving.endpoints[NAME]["state"]["config_update"] = "UPDATE_FAILED"
    assert deploy(client) == ["the last update has failed: the configuration is applied again"]
    assert deploy(client) == []


def test_update_exceeding_timeout_is_reported_and_not_rolled_back(
    host: Host, client: WorkspaceClient, clock: Clock
) -> None:
    deploy(client)
    promote(host, "3")
    host.serving.polls = 10**6
    started = clock.now
    with pytest.raises(ProjectError) as fault:
        deployment.deploy(client, spec(), timedelta(minutes=3))
    assert "has not ended after 0:03:00" in str(fault.value)
    assert "champion version 3: Building .." in str(fault.value)
    assert 180 <= clock.now - started < 200
    assert len(host.workspace.seen("PUT .*/config")) == 1  # it cannot be rolled back yet


def test_deploy_waits_until_ready(host: Host, client: WorkspaceClient) -> None:
    host.serving.unready = 4
    deploy(client)
    assert host.serving.endpoints[NAME]["state"]["ready"] == "READY"


def test_endpoint_not_ready_in_time_is_rolled_back(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    promote(host, "3")
    host.serving.unready = 30
    with pytest.raises(ProjectError) as fault:
        deployment.deploy(client, spec(), timedelta(minutes=2))
    assert "is not ready after 0:02:00" in str(fault.value)
    assert len(host.workspace.seen("PUT .*/config")) == 2


def test_deploy_logs_progress(
    host: Host, client: WorkspaceClient, caplog: pytest.LogCaptureFixture
) -> None:
    host.serving.polls = 30
    caplog.set_level(logging.INFO, "marvel_kedro")
    deploy(client)
    lines = [line for line in caplog.messages if "Building .." in line]
    assert 5 < len(lines) < 20  # every half minute of nearly five
    assert f"The endpoint '{NAME}' answers" in caplog.text
