"""The smoke test of an endpoint, and what follows if it fails."""

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config
from support.workspace import faults
from support.workspace.clock import Clock
from support.workspace.endpoint import (
    MODEL,
    NAME,
    changed,
    deploy,
    deploy_error,
    paths,
    promote,
    spec,
)
from support.workspace.host import Host
from support.workspace.server import Reply

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.endpoint import deployment
from marvel_kedro.monitoring.inference_log.parsing import SMOKE_REQUEST


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
        assert sent.fields["dataframe_records"] == [{"gender": "Female"}]


@pytest.mark.parametrize("alias", ["champion", "challenger"])
def test_each_entity_gets_the_example_of_its_own_version(
    host: Host, client: WorkspaceClient, alias: str
) -> None:
    tensor = {"inputs": [[0.5, 1.0]]}
    host.registry.put(MODEL, "3", alias, example=tensor)
    deploy(client)
    sent = {one.path: one.fields for one in host.workspace.seen("served-models")}
    (given,) = [fields for path, fields in sent.items() if alias in path]
    assert given == tensor | {"client_request_id": SMOKE_REQUEST}
    host.registry.put(MODEL, "4", alias, example=None)
    since = len(host.workspace.seen("served-models"))
    deploy(client)
    assert len(host.workspace.seen("served-models")) == since + 1


def test_example_that_cannot_be_read_rolls_nothing_back(
    host: Host, client: WorkspaceClient
) -> None:
    deploy(client)
    promote(host, "3")
    host.files.contents.pop(f"Models/{MODEL.replace('.', '/')}/3/MLmodel")
    message = deploy_error(client)
    assert f"the example of {MODEL} version 3 cannot be read" in message
    assert "The update stands" in message
    assert host.serving.served(NAME)["champion"] == "3"


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


def test_hanging_version_is_rolled_back(host: Host, client: WorkspaceClient) -> None:
    """The version accepted the request, so the connection is not to blame."""
    deploy(client)
    promote(host, "3")
    hasty = WorkspaceClient(config=Config(http_timeout_seconds=0.2, retry_timeout_seconds=2))
    host.workspace.fail(faults.HANG, "champion/invocations", times=10**6)
    with pytest.raises(ProjectError, match="Rolled back"):
        deployment.deploy(hasty, spec())
    assert host.serving.served(NAME)["champion"] == "1"
