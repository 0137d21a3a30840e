"""Deployment and traffic shifts of an endpoint through the real databricks-sdk, with errors."""

import logging
from datetime import timedelta
from typing import Any

import databricks.sdk.clock
import databricks.sdk.service.serving as sdk
import mlflow
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from support.workspace import faults
from support.workspace.clock import Clock
from support.workspace.host import SCHEMA, Host
from support.workspace.server import TOKEN, ApiError, Reply, Request

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import workspace
from marvel_kedro.databricks.endpoint import deployment, smoke, update
from marvel_kedro.databricks.endpoint.difference import differences
from marvel_kedro.databricks.endpoint.spec import EndpointSpec
from marvel_kedro.databricks.endpoint.traffic_shift import current_shares, shift
from marvel_kedro.monitoring.inference_log.parsing import SMOKE_REQUEST
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.serving.models.registry_watch import served_versions

NAME, MODEL = "characters", f"{SCHEMA}.marvel_characters"
CATALOG, _, SCHEMA_NAME = SCHEMA.partition(".")
ONE = f"/api/2.0/serving-endpoints/{NAME}"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sdk, "time", clock)
    monkeypatch.setattr(databricks.sdk.clock, "time", clock)  # of its own retries
    monkeypatch.setattr(update, "time", clock)
    monkeypatch.setattr(smoke, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def _registry(host: Host) -> None:
    """Two versions: champion and challenger."""
    host.registry.put(MODEL, "1", "champion")
    host.registry.put(MODEL, "2", "challenger")
    mlflow.set_registry_uri("databricks-uc")


@pytest.fixture
def client(host: Host) -> WorkspaceClient:
    return workspace.connect()


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
        if sent.method != "GET" and "invocations" not in sent.path
    ]


def paths(requests: list[Request]) -> list[str]:
    return [f"{sent.method} {sent.path.removeprefix(ONE)}" for sent in requests]


def promote(host: Host, number: str) -> None:
    """Register a new champion."""
    host.registry.put(MODEL, number, "champion")


def test_deploy_creates_endpoint_as_configured(host: Host, client: WorkspaceClient) -> None:
    (line,) = deploy(client)
    assert "champion version 1, challenger version 2 (traffic: champion 90 %" in line
    (made,) = changed(host)
    sent = made.fields
    assert sent["config"]["served_entities"] == [
        {
            "name": name,
            "entity_name": MODEL,
            "entity_version": version,
            "workload_size": "Small",
            "scale_to_zero_enabled": True,
        }
        for name, version in {"champion": "1", "challenger": "2"}.items()
    ]
    assert sent["config"]["traffic_config"]["routes"] == [
        {"served_entity_name": "champion", "traffic_percentage": 90},
        {"served_entity_name": "challenger", "traffic_percentage": 10},
    ]
    assert sent["ai_gateway"] == {
        "inference_table_config": {
            "catalog_name": CATALOG,
            "schema_name": SCHEMA_NAME,
            "table_name_prefix": "inference",
            "enabled": True,
        },
        "rate_limits": [{"calls": 600, "key": "endpoint", "renewal_period": "minute"}],
    }
    assert sent["tags"] == [{"key": "project", "value": "marvel"}]
    assert host.serving.endpoints[NAME]["state"]["ready"] == "READY"


def test_deploy_smoke_tests_every_entity_even_without_traffic(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client, traffic={"champion": 100, "challenger": 0})
    requests = host.workspace.seen("invocations")
    assert [sent.path for sent in requests] == [
        f"/serving-endpoints/{NAME}/invocations",
        f"/serving-endpoints/{NAME}/served-models/champion/invocations",
        f"/serving-endpoints/{NAME}/served-models/challenger/invocations",
    ]
    for sent in requests:
        assert sent.fields["client_request_id"] == SMOKE_REQUEST
        split = sent.fields["dataframe_split"]
        assert dict(zip(split["columns"], split["data"][0], strict=True))["gender"] == "Female"


def test_second_deploy_changes_nothing(host: Host, client: WorkspaceClient) -> None:
    groups = {"databricks": {"query_groups": ["analysts"]}}
    deploy(client, **groups)
    since = len(host.workspace.requests)
    assert deploy(client, **groups) == []
    assert changed(host, since) == []
    assert differences(client, spec(**groups)) == []


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"traffic": {"champion": 50, "challenger": 50}}, ["PUT /config"]),
        ({"databricks": {"workload_size": "Large"}}, ["PUT /config"]),
        ({"databricks": {"scale_to_zero": False}}, ["PUT /config"]),
        ({"databricks": {"rate_limits": []}}, ["PUT /ai-gateway"]),
        ({"databricks": {"rate_limits": [{"calls": 9, "key": "user"}]}}, ["PUT /ai-gateway"]),
        ({"inference_table": {"enabled": False}}, ["PUT /ai-gateway"]),
        # The platform changes names only while the table is disabled.
        ({"inference_table": {"table_name_prefix": "other"}}, ["PUT /ai-gateway"] * 2),
        ({"databricks": {"tags": {"project": "marvel", "team": "x"}}}, ["PATCH /tags"]),
        ({"databricks": {"tags": {"project": "other"}}}, ["PATCH /tags"]),
    ],
)
def test_deploy_changes_only_what_differs(
    host: Host, client: WorkspaceClient, changes: dict[str, Any], sent: list[str]
) -> None:
    deploy(client)
    since = len(host.workspace.requests)
    lines = differences(client, spec(**changes))
    assert lines
    assert changed(host, since) == []
    assert deploy(client, **changes) == lines
    assert paths(changed(host, since)) == sent
    assert differences(client, spec(**changes)) == []


def test_disabled_inference_table_is_not_sent(host: Host, client: WorkspaceClient) -> None:
    nothing: dict[str, Any] = {
        "inference_table": {"enabled": False},
        "databricks": {"rate_limits": []},
    }
    deploy(client, **nothing)
    (made,) = changed(host)
    assert "ai_gateway" not in made.fields
    assert deploy(client, **nothing) == []
    deploy(client)
    deploy(client, inference_table={"enabled": False})
    table = host.serving.endpoints[NAME]["ai_gateway"]["inference_table_config"]
    assert (table["enabled"], table["table_name_prefix"]) == (False, "inference")


def test_deploy_grants_groups_and_keeps_other_permissions(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client)
    (held,) = host.serving.permissions.values()
    held |= {"owners": "CAN_MANAGE", "lookers": "CAN_VIEW"}
    groups = ["owners", "lookers", "analysts"]
    lines = deploy(client, databricks={"query_groups": groups})
    assert lines == ["lookers may query it", "analysts may query it"]
    assert held == {"owners": "CAN_MANAGE", "lookers": "CAN_QUERY", "analysts": "CAN_QUERY"}


def test_deploy_of_new_champion_keeps_foreign_settings(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    gateway = host.serving.endpoints[NAME]["ai_gateway"]
    gateway["usage_tracking_config"] = {"enabled": True}
    client.serving_endpoints.patch(NAME, add_tags=[sdk.EndpointTag("theirs", "1")])
    promote(host, "3")
    deploy(client, databricks={"rate_limits": [{"calls": 7}]})
    assert host.serving.served(NAME) == {"champion": "3", "challenger": "2"}
    assert host.serving.endpoints[NAME]["ai_gateway"]["usage_tracking_config"] == {"enabled": True}
    tags = {tag["key"] for tag in host.serving.endpoints[NAME]["tags"]}
    assert tags == {"project", "theirs"}


def test_entity_without_version_gets_no_traffic(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    host.registry.models[MODEL]["aliases"] = [{"alias": "champion", "version": "2"}]
    deploy(client)
    assert host.serving.served(NAME) == {"champion": "2"}
    assert host.serving.traffic(NAME) == {"champion": 100}
    host.registry.models[MODEL]["aliases"] = []
    message = deploy_error(client)
    assert "has one of the aliases champion, challenger" in message
    assert "kedro run --pipelines training" in message
    assert host.serving.served(NAME) == {"champion": "2"}


def test_deploy_rejects_missing_version(host: Host, client: WorkspaceClient) -> None:
    fixed = {
        "served_entities": [{"name": "fixed", "version": "7"}],
        "traffic": {"fixed": 100},
    }
    assert "'fixed' (endpoint.served_entities) names version 7" in deploy_error(client, **fixed)
    target = EndpointSpec.of(configured(**fixed), {"fixed": "7"}, CATALOG, SCHEMA_NAME)
    with pytest.raises(ProjectError, match=r"version 7 does not exist[^§]*endpoint\.model"):
        deployment.deploy(client, target)  # deleted after the look-up
    host.registry.put(MODEL, "7")
    deploy(client, **fixed)
    assert host.serving.served(NAME) == {"fixed": "7"}


def test_deploy_rejects_redaction_with_inference_table(client: WorkspaceClient) -> None:
    assert "endpoint.inference_table.redact hides name" in deploy_error(
        client, inference_table={"redact": ["name"]}
    )
    deploy(client, inference_table={"redact": ["name"], "enabled": False})


@pytest.mark.parametrize("lost", ["gateway", "tags", "groups", "all"])
def test_deploy_completes_interrupted_deployment(
    host: Host, client: WorkspaceClient, lost: str
) -> None:
    target = spec(databricks={"query_groups": ["analysts"]})
    deployment.deploy(client, target)
    half = host.serving.endpoints[NAME]
    if lost in {"gateway", "all"}:
        half["ai_gateway"] = {}
    if lost in {"tags", "all"}:
        half["tags"] = []
    if lost in {"groups", "all"}:
        host.serving.permissions[half["id"]].clear()
    since = len(host.workspace.requests)
    assert deployment.deploy(client, target)
    assert "PUT /config" not in paths(changed(host, since))
    assert differences(client, target) == []
    assert host.serving.permissions[half["id"]] == {"analysts": "CAN_QUERY"}


def test_deploy_completes_endpoint_still_being_created(host: Host, client: WorkspaceClient) -> None:
    """The endpoint is being created by a deployment that was killed."""
    host.serving.polls = 3
    target = spec()
    client.serving_endpoints.create(
        NAME,
        config=sdk.EndpointCoreConfigInput(
            NAME,
            served_entities=list(target.entities),
            traffic_config=sdk.TrafficConfig(
                routes=[sdk.Route(90, "champion"), sdk.Route(10, "challenger")]
            ),
        ),
    )
    assert deployment.deploy(client, target)
    assert host.workspace.seen("PUT .*/config$") == []
    assert differences(client, target) == []


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


@pytest.mark.parametrize(
    "reply",
    [
        Reply({"error_code": "BAD_REQUEST", "message": "No column height."}, 400),
        Reply({"error_code": "INTERNAL_ERROR", "message": "The model is out of order."}, 500),
        Reply({"predictions": []}),
        Reply({}),
    ],
    ids=["4xx", "5xx", "no prediction", "nothing"],
)
@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_version_failing_smoke_test_is_rolled_back(
    host: Host, client: WorkspaceClient, reply: Reply, alias: str
) -> None:
    deploy(client)
    before = host.serving.served(NAME)
    host.registry.put(MODEL, "3", alias)
    host.serving.answers["3"] = reply
    message = deploy_error(client)
    assert "smoke request" in message
    assert reply.body.get("message", "without a prediction") in message
    assert "Rolled back" in message
    assert host.serving.served(NAME) == before
    del host.serving.answers["3"]
    deploy(client)
    assert host.serving.served(NAME)[alias] == "3"


def test_unchanged_endpoint_failing_smoke_test_is_not_rolled_back(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client)
    host.serving.answers["1"] = faults.BROKEN
    since = len(host.workspace.requests)
    assert "nothing to roll back" in deploy_error(client)
    assert changed(host, since) == []


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


def test_token_expired_before_smoke_test_does_not_roll_back(
    host: Host, client: WorkspaceClient
) -> None:
    """An expired token says nothing about the version."""
    deploy(client)
    promote(host, "3")
    host.workspace.fail(faults.EXPIRED, "invocations")
    message = deploy_error(client)
    assert "could not be queried for a prediction" in message
    assert host.serving.served(NAME)["champion"] == "3"
    assert deploy(client) == []


THROTTLED = Reply(faults.BUSY.body, 429, {"Retry-After": "60"})
# More often than the SDK retries by itself, which is for five minutes or not at all.
OUT_OF_REACH = pytest.mark.parametrize(
    "fault",
    [(faults.CUT, 40), (faults.HALF, 3), (THROTTLED, 8)],
    ids=["cut", "half an answer", "429"],
)
INVOCATIONS = pytest.mark.parametrize("path", [f"{NAME}/invoc", "served-models/champion/invoc"])


@OUT_OF_REACH
@INVOCATIONS
def test_smoke_test_retries_unreachable_endpoint(
    host: Host, client: WorkspaceClient, clock: Clock, fault: tuple[Reply, int], path: str
) -> None:
    deploy(client)
    promote(host, "3")
    since, started = len(host.workspace.requests), clock.now
    reply, times = fault
    host.workspace.fail(reply, path, times)
    deploy(client)
    assert paths(changed(host, since)) == ["PUT /config"]
    assert host.serving.served(NAME)["champion"] == "3"
    assert clock.now - started < 900


@OUT_OF_REACH
@INVOCATIONS
def test_update_stands_if_smoke_test_stays_unreachable(
    host: Host, client: WorkspaceClient, clock: Clock, fault: tuple[Reply, int], path: str
) -> None:
    deploy(client)
    promote(host, "3")
    since, started = len(host.workspace.requests), clock.now
    host.workspace.fail(fault[0], path, times=10**6)
    message = deploy_error(client)
    assert "could not be tested" in message
    assert (
        "The update stands: champion version 3, challenger version 2 (traffic: champion" in message
    )
    assert "Nothing was rolled back" in message
    assert paths(changed(host, since)) == ["PUT /config"]
    assert host.serving.served(NAME)["champion"] == "3"
    assert 600 <= clock.now - started < 1000
    message = deploy_error(client)
    assert "could not be tested" in message
    assert "Nothing was changed now: champion version 3" in message
    host.workspace.heal()
    since = len(host.workspace.seen("invocations"))
    assert deploy(client) == []
    assert len(host.workspace.seen("invocations")) == since + 3


def test_shift_stands_if_smoke_test_stays_unreachable(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    shares = {"champion": 50, "challenger": 50}
    host.workspace.fail(faults.CUT, "invocations", times=10**6)
    with pytest.raises(ProjectError, match="The update stands"):
        shift(client, configured(), shares)
    assert host.serving.traffic(NAME) == shares
    with pytest.raises(ProjectError, match="Nothing was changed now"):
        shift(client, configured(), shares)
    host.workspace.heal()
    since = len(host.workspace.seen("invocations"))
    assert shift(client, configured(), shares) == shares
    assert len(host.workspace.seen("invocations")) == since + 3


def test_hanging_version_is_rolled_back(host: Host, client: WorkspaceClient) -> None:
    """The version accepted the request, so the connection is not to blame."""
    deploy(client)
    promote(host, "3")
    hasty = WorkspaceClient(config=Config(http_timeout_seconds=0.2, retry_timeout_seconds=2))
    host.workspace.fail(faults.HANG, "champion/invocations", times=10**6)
    with pytest.raises(ProjectError, match="Rolled back"):
        deployment.deploy(hasty, spec())
    assert host.serving.served(NAME)["champion"] == "1"


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


def test_shift_changes_only_traffic(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    promote(host, "3")  # not yet deployed, and a shift does not deploy it
    since = len(host.workspace.requests)
    shares = {"champion": 25, "challenger": 75}
    assert shift(client, configured(), shares) == shares
    assert host.serving.traffic(NAME) == shares
    assert host.serving.served(NAME) == {"champion": "1", "challenger": "2"}
    assert paths(changed(host, since)) == ["PUT /config"]
    since = len(host.workspace.requests)
    assert shift(client, configured(), shares) == shares
    assert changed(host, since) == []


def test_shift_to_failing_entity_is_rolled_back(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    host.serving.answers["2"] = faults.BROKEN
    with pytest.raises(ProjectError, match="Rolled back"):
        shift(client, configured(), {"challenger": 100})
    assert host.serving.traffic(NAME) == {"champion": 90, "challenger": 10}


def test_shift_rejects_invalid_shares(host: Host, client: WorkspaceClient) -> None:
    with pytest.raises(ProjectError, match="kedro deploy"):
        shift(client, configured(), {"champion": 100})
    host.registry.models[MODEL]["aliases"] = [{"alias": "champion", "version": "1"}]
    deploy(client)
    with pytest.raises(ProjectError, match=f"'{NAME}': traffic adds up to 99"):
        shift(client, configured(), {"champion": 99})
    with pytest.raises(ProjectError, match="traffic goes to other, which is not served: champion"):
        shift(client, configured(), {"other": 100})
    assert shift(client, configured(), {"challenger": 100}) == {"champion": 100}


def test_current_shares_are_read_from_workspace(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    assert current_shares(client, NAME) == {"champion": 90, "challenger": 10}
    shift(client, configured(), {"champion": 100})
    assert current_shares(client, NAME) == {"champion": 100, "challenger": 0}
    # A single entity needs no routes; an update in progress counts once it has ended.
    host.serving.endpoints[NAME]["config"] = {
        "served_entities": host.serving.endpoints[NAME]["config"]["served_entities"][:1]
    }
    assert current_shares(client, NAME) == {"champion": 100}
    host.serving.polls = 3
    target = spec()
    client.serving_endpoints.update_config(
        NAME,
        served_entities=list(target.entities),
        traffic_config=sdk.TrafficConfig(
            routes=[sdk.Route(70, "champion"), sdk.Route(30, "challenger")]
        ),
    )
    assert current_shares(client, NAME) == {"champion": 70, "challenger": 30}
    with pytest.raises(ProjectError, match="'other' serves nothing"):
        current_shares(client, "other")


def test_shift_among_entities_missing_from_configuration(
    host: Host, client: WorkspaceClient
) -> None:
    """The configuration has changed and is not deployed yet."""
    deploy(client)
    only = {"served_entities": [{"name": "champion", "alias": "champion"}]}
    newer = configured(**only, traffic={"champion": 100})
    shares = {"champion": 60, "challenger": 40}
    assert shift(client, newer, shares) == shares
    assert host.serving.traffic(NAME) == shares


def test_connect_without_login_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    with pytest.raises(ProjectError, match=r"databricks auth login"):
        workspace.connect()
