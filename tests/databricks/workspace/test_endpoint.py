"""The endpoint section as a served endpoint, through the real databricks-sdk, faults included."""

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
from marvel_kedro.databricks.endpoint import smoke, waiting
from marvel_kedro.databricks.endpoint.deployment import deploy as deploy_wanted
from marvel_kedro.databricks.endpoint.difference import differences
from marvel_kedro.databricks.endpoint.shifting import served_traffic, shift
from marvel_kedro.databricks.endpoint.spec import Wanted
from marvel_kedro.monitoring.inference_log.parsing import SMOKE_REQUEST
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.serving.models.served_versions import served_versions

NAME, MODEL = "characters", f"{SCHEMA}.marvel_characters"
CATALOG, _, SCHEMA_NAME = SCHEMA.partition(".")
ONE = f"/api/2.0/serving-endpoints/{NAME}"


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sdk, "time", clock)
    monkeypatch.setattr(databricks.sdk.clock, "time", clock)  # of its own tries
    monkeypatch.setattr(waiting, "time", clock)
    monkeypatch.setattr(smoke, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def _registry(host: Host) -> None:
    """Two versions; the first is in use, the second is on trial."""
    host.registry.put(MODEL, "1", "champion")
    host.registry.put(MODEL, "2", "challenger")
    mlflow.set_registry_uri("databricks-uc")


@pytest.fixture
def client(host: Host) -> WorkspaceClient:
    return workspace.connect()


def described(**changes: Any) -> EndpointOptions:
    """The endpoint of the project's parameters, with some keys changed."""
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


def wanted(**changes: Any) -> Wanted:
    asked = described(**changes)
    return Wanted.of(asked, served_versions(asked), CATALOG, SCHEMA_NAME)


def deploy(client: WorkspaceClient, **changes: Any) -> list[str]:
    return deploy_wanted(client, wanted(**changes))


def fails(client: WorkspaceClient, **changes: Any) -> str:
    """What the user reads of a deployment that fails."""
    with pytest.raises(ProjectError) as fault:
        deploy(client, **changes)
    said = str(fault.value)
    assert NAME in said
    assert TOKEN not in said
    assert "Config:" not in said
    return said


def changed(host: Host, since: int = 0) -> list[Request]:
    """The requests that change an endpoint: all but looks, and questions to it."""
    return [
        sent
        for sent in host.workspace.requests[since:]
        if sent.method != "GET" and "invocations" not in sent.path
    ]


def paths(requests: list[Request]) -> list[str]:
    return [f"{sent.method} {sent.path.removeprefix(ONE)}" for sent in requests]


def promote(host: Host, number: str) -> None:
    """A new version that is in use."""
    host.registry.put(MODEL, number, "champion")


def test_it_is_made_as_described(host: Host, client: WorkspaceClient) -> None:
    (told,) = deploy(client)
    assert "champion version 1, challenger version 2 (traffic: champion 90 %" in told
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


def test_every_served_entity_is_asked_whatever_its_traffic(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client, traffic={"champion": 100, "challenger": 0})
    asked = host.workspace.seen("invocations")
    assert [sent.path for sent in asked] == [
        f"/serving-endpoints/{NAME}/invocations",
        f"/serving-endpoints/{NAME}/served-models/champion/invocations",
        f"/serving-endpoints/{NAME}/served-models/challenger/invocations",
    ]
    for sent in asked:
        assert sent.fields["client_request_id"] == SMOKE_REQUEST
        split = sent.fields["dataframe_split"]
        assert dict(zip(split["columns"], split["data"][0], strict=True))["gender"] == "Female"


def test_a_second_call_changes_nothing(host: Host, client: WorkspaceClient) -> None:
    groups = {"databricks": {"query_groups": ["analysts"]}}
    deploy(client, **groups)
    since = len(host.workspace.requests)
    assert deploy(client, **groups) == []
    assert changed(host, since) == []
    assert differences(client, wanted(**groups)) == []


@pytest.mark.parametrize(
    ("changes", "sent"),
    [
        ({"traffic": {"champion": 50, "challenger": 50}}, ["PUT /config"]),
        ({"databricks": {"workload_size": "Large"}}, ["PUT /config"]),
        ({"databricks": {"scale_to_zero": False}}, ["PUT /config"]),
        ({"databricks": {"rate_limits": []}}, ["PUT /ai-gateway"]),
        ({"databricks": {"rate_limits": [{"calls": 9, "key": "user"}]}}, ["PUT /ai-gateway"]),
        ({"inference_table": {"enabled": False}}, ["PUT /ai-gateway"]),
        # The platform changes names only while the table is off.
        ({"inference_table": {"table_name_prefix": "other"}}, ["PUT /ai-gateway"] * 2),
        ({"databricks": {"tags": {"project": "marvel", "team": "x"}}}, ["PATCH /tags"]),
        ({"databricks": {"tags": {"project": "other"}}}, ["PATCH /tags"]),
    ],
)
def test_only_what_differs_is_changed(
    host: Host, client: WorkspaceClient, changes: dict[str, Any], sent: list[str]
) -> None:
    deploy(client)
    since = len(host.workspace.requests)
    told = differences(client, wanted(**changes))
    assert told
    assert changed(host, since) == []
    assert deploy(client, **changes) == told
    assert paths(changed(host, since)) == sent
    assert differences(client, wanted(**changes)) == []


def test_a_table_that_is_not_wanted_is_not_spoken_of(host: Host, client: WorkspaceClient) -> None:
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


def test_groups_are_let_in_and_others_stay(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    (held,) = host.serving.permissions.values()
    held |= {"owners": "CAN_MANAGE", "lookers": "CAN_VIEW"}
    groups = ["owners", "lookers", "analysts"]
    told = deploy(client, databricks={"query_groups": groups})
    assert told == ["lookers may query it", "analysts may query it"]
    assert held == {"owners": "CAN_MANAGE", "lookers": "CAN_QUERY", "analysts": "CAN_QUERY"}


def test_a_new_champion_is_served_and_the_rest_stays(host: Host, client: WorkspaceClient) -> None:
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


def test_what_has_no_version_gets_no_traffic(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    host.registry.models[MODEL]["aliases"] = [{"alias": "champion", "version": "2"}]
    deploy(client)
    assert host.serving.served(NAME) == {"champion": "2"}
    assert host.serving.traffic(NAME) == {"champion": 100}
    host.registry.models[MODEL]["aliases"] = []
    said = fails(client)
    assert "has one of the aliases champion, challenger" in said
    assert "kedro run --pipelines training" in said
    assert host.serving.served(NAME) == {"champion": "2"}


def test_a_version_that_is_not_there(host: Host, client: WorkspaceClient) -> None:
    fixed = {
        "served_entities": [{"name": "fixed", "version": "7"}],
        "traffic": {"fixed": 100},
    }
    assert "'fixed' (endpoint.served_entities) wants version 7" in fails(client, **fixed)
    asked = Wanted.of(described(**fixed), {"fixed": "7"}, CATALOG, SCHEMA_NAME)
    with pytest.raises(ProjectError, match=r"version 7 does not exist[^§]*endpoint\.model"):
        deploy_wanted(client, asked)  # deleted since it was looked up
    host.registry.put(MODEL, "7")
    deploy(client, **fixed)
    assert host.serving.served(NAME) == {"fixed": "7"}


def test_fields_that_the_platform_cannot_hide_are_not_shown_to_it(client: WorkspaceClient) -> None:
    assert "endpoint.inference_table.redact hides name" in fails(
        client, inference_table={"redact": ["name"]}
    )
    deploy(client, inference_table={"redact": ["name"], "enabled": False})


@pytest.mark.parametrize("lost", ["gateway", "tags", "groups", "all"])
def test_what_a_deployment_that_died_left_is_completed(
    host: Host, client: WorkspaceClient, lost: str
) -> None:
    asked = wanted(databricks={"query_groups": ["analysts"]})
    deploy_wanted(client, asked)
    half = host.serving.endpoints[NAME]
    if lost in {"gateway", "all"}:
        half["ai_gateway"] = {}
    if lost in {"tags", "all"}:
        half["tags"] = []
    if lost in {"groups", "all"}:
        host.serving.permissions[half["id"]].clear()
    since = len(host.workspace.requests)
    assert deploy_wanted(client, asked)
    assert "PUT /config" not in paths(changed(host, since))
    assert differences(client, asked) == []
    assert host.serving.permissions[half["id"]] == {"analysts": "CAN_QUERY"}


def test_killed_while_it_was_made(host: Host, client: WorkspaceClient) -> None:
    """The endpoint is made, and nobody has waited for it or finished it."""
    host.serving.polls = 3
    asked = wanted()
    client.serving_endpoints.create(
        NAME,
        config=sdk.EndpointCoreConfigInput(
            NAME,
            served_entities=list(asked.entities),
            traffic_config=sdk.TrafficConfig(
                routes=[sdk.Route(90, "champion"), sdk.Route(10, "challenger")]
            ),
        ),
    )
    assert deploy_wanted(client, asked)
    assert host.workspace.seen("PUT .*/config$") == []
    assert differences(client, asked) == []


def test_an_update_under_way_is_waited_for(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    host.serving.polls = 5
    promote(host, "3")
    asked = wanted()
    client.serving_endpoints.update_config(
        NAME,
        served_entities=list(asked.entities),
        traffic_config=sdk.TrafficConfig(routes=[sdk.Route(100, "champion")]),
    )
    told = deploy_wanted(client, asked)
    assert told == ["traffic: champion 100 % -> champion 90 %, challenger 10 %"]
    assert host.serving.served(NAME)["champion"] == "3"


def test_an_endpoint_that_never_came_up_is_repaired(host: Host, client: WorkspaceClient) -> None:
    host.serving.unhealthy = {"1"}
    said = fails(client)
    assert "champion version 1: The container exited with 1." in said
    assert "Nothing served before" in said
    host.serving.unhealthy = set()
    deploy(client)
    assert host.serving.served(NAME) == {"champion": "1", "challenger": "2"}
    assert deploy(client) == []


def test_an_update_that_fails_is_rolled_back(host: Host, client: WorkspaceClient) -> None:
    deploy(client, traffic={"champion": 100, "challenger": 0})
    promote(host, "3")
    host.serving.unhealthy = {"3"}
    since = len(host.workspace.requests)
    said = fails(client)
    assert "champion version 3: The container exited with 1." in said
    assert "Rolled back: champion version 1, challenger version 2" in said
    assert paths(changed(host, since)) == ["PUT /config", "PUT /config"]
    assert host.serving.served(NAME) == {"champion": "1", "challenger": "2"}
    assert host.serving.traffic(NAME) == {"champion": 100, "challenger": 0}
    assert host.serving.endpoints[NAME]["state"]["config_update"] == "NOT_UPDATING"
    host.serving.unhealthy = set()
    deploy(client)
    assert host.serving.served(NAME)["champion"] == "3"


def test_a_roll_back_that_fails_too_is_told(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    promote(host, "3")
    host.serving.unhealthy = {"1", "3"}
    said = fails(client)
    assert "champion version 3: The container exited" in said
    assert "Rolling back to champion version 1, challenger version 2" in said
    assert "failed, too" in said
    assert said.index("version 3: The") < said.index("failed, too") < said.index("version 1: The")
    host.serving.unhealthy = set()
    deploy(client)  # which finds the failed state and the old version, and mends both
    assert host.serving.served(NAME)["champion"] == "3"
    assert deploy(client) == []


def test_a_failed_update_of_somebody_else_is_set_right(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    host.serving.endpoints[NAME]["state"]["config_update"] = "UPDATE_FAILED"
    assert deploy(client) == ["the last update has failed: what is described is set again"]
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
def test_a_version_that_does_not_answer_is_rolled_back(
    host: Host, client: WorkspaceClient, reply: Reply, alias: str
) -> None:
    deploy(client)
    before = host.serving.served(NAME)
    host.registry.put(MODEL, "3", alias)
    host.serving.answers["3"] = reply
    said = fails(client)
    assert "smoke request" in said
    assert reply.body.get("message", "without a prediction") in said
    assert "Rolled back" in said
    assert host.serving.served(NAME) == before
    del host.serving.answers["3"]
    deploy(client)
    assert host.serving.served(NAME)[alias] == "3"


def test_what_served_already_and_does_not_answer_is_not_rolled_back(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client)
    host.serving.answers["1"] = faults.BROKEN
    since = len(host.workspace.requests)
    assert "nothing to roll back" in fails(client)
    assert changed(host, since) == []


@pytest.mark.parametrize("reply", [faults.EXPIRED, faults.REVOKED])
def test_a_token_that_expires_while_it_waits(
    host: Host, client: WorkspaceClient, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    deploy(client)
    promote(host, "3")
    host.serving.polls = 5
    caplog.set_level(logging.DEBUG)
    asked = wanted()
    host.workspace.fail(reply, f"GET {ONE}$", after=3)
    with pytest.raises(ProjectError) as fault:
        deploy_wanted(client, asked)
    said = str(fault.value)
    assert "its update goes on without that" in said
    assert "Make a new one" in said
    assert TOKEN not in said + caplog.text
    assert deploy(client) == []  # it has waited for the end, and asked the new version
    assert host.serving.served(NAME)["champion"] == "3"


def test_a_token_that_expires_before_the_smoke_request(host: Host, client: WorkspaceClient) -> None:
    """It says nothing about the version, which is not rolled back."""
    deploy(client)
    promote(host, "3")
    host.workspace.fail(faults.EXPIRED, "invocations")
    said = fails(client)
    assert "could not be asked for a prediction" in said
    assert host.serving.served(NAME)["champion"] == "3"
    assert deploy(client) == []


THROTTLED = Reply(faults.BUSY.body, 429, {"Retry-After": "60"})
# More often than the SDK tries by itself, which is for five minutes or not at all.
OUT_OF_REACH = pytest.mark.parametrize(
    "fault",
    [(faults.CUT, 40), (faults.HALF, 3), (THROTTLED, 8)],
    ids=["cut", "half an answer", "429"],
)
ASKED = pytest.mark.parametrize("path", [f"{NAME}/invoc", "served-models/champion/invoc"])


@OUT_OF_REACH
@ASKED
def test_who_cannot_be_asked_is_asked_again(
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
@ASKED
def test_a_good_update_stands_that_could_not_be_tried(
    host: Host, client: WorkspaceClient, clock: Clock, fault: tuple[Reply, int], path: str
) -> None:
    deploy(client)
    promote(host, "3")
    since, started = len(host.workspace.requests), clock.now
    host.workspace.fail(fault[0], path, times=10**6)
    said = fails(client)
    assert "could not be tried" in said
    assert "The update stands: champion version 3, challenger version 2 (traffic: champion" in said
    assert "Nothing was rolled back" in said
    assert paths(changed(host, since)) == ["PUT /config"]
    assert host.serving.served(NAME)["champion"] == "3"
    assert 600 <= clock.now - started < 1000
    said = fails(client)
    assert "could not be tried" in said
    assert "Nothing was changed now: champion version 3" in said
    host.workspace.heal()
    asked = len(host.workspace.seen("invocations"))
    assert deploy(client) == []
    assert len(host.workspace.seen("invocations")) == asked + 3


def test_a_shift_that_could_not_be_tried_stands_and_is_tried_again(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client)
    shares = {"champion": 50, "challenger": 50}
    host.workspace.fail(faults.CUT, "invocations", times=10**6)
    with pytest.raises(ProjectError, match="The update stands"):
        shift(client, described(), shares)
    assert host.serving.traffic(NAME) == shares
    with pytest.raises(ProjectError, match="Nothing was changed now"):
        shift(client, described(), shares)
    host.workspace.heal()
    since = len(host.workspace.seen("invocations"))
    assert shift(client, described(), shares) == shares
    assert len(host.workspace.seen("invocations")) == since + 3


def test_a_version_that_hangs_is_rolled_back(host: Host, client: WorkspaceClient) -> None:
    """It took the request: that is no fault of the line."""
    deploy(client)
    promote(host, "3")
    hasty = WorkspaceClient(config=Config(http_timeout_seconds=0.2, retry_timeout_seconds=2))
    host.workspace.fail(faults.HANG, "champion/invocations", times=10**6)
    with pytest.raises(ProjectError, match="Rolled back"):
        deploy_wanted(hasty, wanted())
    assert host.serving.served(NAME)["champion"] == "1"


@pytest.mark.parametrize("path", ["POST .*/serving-endpoints$", "PUT .*/config", "POST .*/invoc"])
def test_a_busy_workspace_is_asked_again(host: Host, client: WorkspaceClient, path: str) -> None:
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
    ids=["made", "updated", "gateway", "tags", "permissions"],
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
        (ApiError(404, "RESOURCE_DOES_NOT_EXIST", "There is none.").reply, "has deleted it"),
        (ApiError(400, "INVALID_PARAMETER_VALUE", "Not so.").reply, "Mend the section `endpoint`"),
        (faults.EXPIRED, "Make a new one"),
        (faults.BROKEN, "busy, broken or out of reach"),
    ],
    ids=["privilege", "conflict", "state", "gone", "bad", "token", "broken"],
)
def test_a_refusal_is_told_with_its_remedy(
    host: Host,
    client: WorkspaceClient,
    act: tuple[str, dict[str, Any] | None],
    refusal: tuple[Reply, str],
) -> None:
    (path, changes), (reply, remedy) = act, refusal
    if changes is not None:
        deploy(client)
    host.workspace.fail(reply, path)
    said = fails(client, **(changes or {}))
    assert reply.body["message"] in said
    assert remedy in said
    assert deploy(client, **(changes or {}))
    assert deploy(client, **(changes or {})) == []


def test_quota(host: Host, client: WorkspaceClient) -> None:
    host.serving.quota = 0
    assert "delete an endpoint that nobody needs" in fails(client)


def test_two_deployments_at_once(host: Host, client: WorkspaceClient) -> None:
    """The other one's update begins between this one's look and its own update."""
    deploy(client)
    promote(host, "3")
    asked = wanted()
    update = client.serving_endpoints.update_config

    def late(*words: Any, **more: Any) -> Any:
        update(*words, **more)
        return update(*words, **more)

    client.serving_endpoints.update_config = late  # type: ignore[method-assign]
    with pytest.raises(ProjectError, match="Another deployment changes it at the same time"):
        deploy_wanted(client, asked)
    client.serving_endpoints.update_config = update  # type: ignore[method-assign]
    assert deploy_wanted(client, asked) == []


def test_it_is_deleted_meanwhile(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    promote(host, "3")
    gone = ApiError(404, "RESOURCE_DOES_NOT_EXIST", "There is none.").reply
    host.workspace.fail(gone, f"GET {ONE}$", after=2)
    assert "Somebody has deleted it" in fails(client)
    client.serving_endpoints.delete(NAME)
    (told,) = deploy(client)
    assert "is new" in told


def test_an_update_without_end(host: Host, client: WorkspaceClient, clock: Clock) -> None:
    deploy(client)
    promote(host, "3")
    host.serving.polls = 10**6
    started = clock.now
    with pytest.raises(ProjectError) as fault:
        deploy_wanted(client, wanted(), timedelta(minutes=3))
    assert "is not over after 0:03:00" in str(fault.value)
    assert "champion version 3: Building .." in str(fault.value)
    assert 180 <= clock.now - started < 200
    assert len(host.workspace.seen("PUT .*/config")) == 1  # it cannot be rolled back yet


def test_it_is_waited_for_until_ready(host: Host, client: WorkspaceClient) -> None:
    host.serving.unready = 4
    deploy(client)
    assert host.serving.endpoints[NAME]["state"]["ready"] == "READY"


def test_an_endpoint_that_does_not_get_ready_is_rolled_back(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client)
    promote(host, "3")
    host.serving.unready = 30
    with pytest.raises(ProjectError) as fault:
        deploy_wanted(client, wanted(), timedelta(minutes=2))
    assert "is not ready after 0:02:00" in str(fault.value)
    assert len(host.workspace.seen("PUT .*/config")) == 2


def test_progress_is_told(
    host: Host, client: WorkspaceClient, caplog: pytest.LogCaptureFixture
) -> None:
    host.serving.polls = 30
    caplog.set_level(logging.INFO, "marvel_kedro")
    deploy(client)
    told = [line for line in caplog.messages if "Building .." in line]
    assert 5 < len(told) < 20  # every half a minute of nearly five
    assert f"The endpoint '{NAME}' answers" in caplog.text


def test_a_shift_changes_traffic_alone(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    promote(host, "3")  # not yet deployed: a shift does not deploy it
    since = len(host.workspace.requests)
    shares = {"champion": 25, "challenger": 75}
    assert shift(client, described(), shares) == shares
    assert host.serving.traffic(NAME) == shares
    assert host.serving.served(NAME) == {"champion": "1", "challenger": "2"}
    assert paths(changed(host, since)) == ["PUT /config"]
    since = len(host.workspace.requests)
    assert shift(client, described(), shares) == shares
    assert changed(host, since) == []


def test_a_shift_to_what_is_broken_is_rolled_back(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    host.serving.answers["2"] = faults.BROKEN
    with pytest.raises(ProjectError, match="Rolled back"):
        shift(client, described(), {"challenger": 100})
    assert host.serving.traffic(NAME) == {"champion": 90, "challenger": 10}


def test_a_shift_that_cannot_be(host: Host, client: WorkspaceClient) -> None:
    with pytest.raises(ProjectError, match="kedro deploy"):
        shift(client, described(), {"champion": 100})
    host.registry.models[MODEL]["aliases"] = [{"alias": "champion", "version": "1"}]
    deploy(client)
    with pytest.raises(ProjectError, match=f"'{NAME}': traffic adds up to 99"):
        shift(client, described(), {"champion": 99})
    with pytest.raises(ProjectError, match="traffic goes to other, which is not served: champion"):
        shift(client, described(), {"other": 100})
    assert shift(client, described(), {"challenger": 100}) == {"champion": 100}


def test_the_shares_that_hold_are_asked_for(host: Host, client: WorkspaceClient) -> None:
    deploy(client)
    assert served_traffic(client, NAME) == {"champion": 90, "challenger": 10}
    shift(client, described(), {"champion": 100})
    assert served_traffic(client, NAME) == {"champion": 100, "challenger": 0}
    # Who is alone needs no routes; an update under way counts when it is over.
    host.serving.endpoints[NAME]["config"] = {
        "served_entities": host.serving.endpoints[NAME]["config"]["served_entities"][:1]
    }
    assert served_traffic(client, NAME) == {"champion": 100}
    host.serving.polls = 3
    asked = wanted()
    client.serving_endpoints.update_config(
        NAME,
        served_entities=list(asked.entities),
        traffic_config=sdk.TrafficConfig(
            routes=[sdk.Route(70, "champion"), sdk.Route(30, "challenger")]
        ),
    )
    assert served_traffic(client, NAME) == {"champion": 70, "challenger": 30}
    with pytest.raises(ProjectError, match="'other' serves nothing"):
        served_traffic(client, "other")


def test_a_shift_among_what_the_description_does_not_know(
    host: Host, client: WorkspaceClient
) -> None:
    """The description has changed and is not deployed yet."""
    deploy(client)
    only = {"served_entities": [{"name": "champion", "alias": "champion"}]}
    changed_since = described(**only, traffic={"champion": 100})
    shares = {"champion": 60, "challenger": 40}
    assert shift(client, changed_since, shares) == shares
    assert host.serving.traffic(NAME) == shares


def test_no_login(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABRICKS_TOKEN")
    with pytest.raises(ProjectError, match=r"databricks auth login"):
        workspace.connect()
