"""Traffic shifts of an endpoint."""

import databricks.sdk.service.serving as sdk
import pytest
from databricks.sdk import WorkspaceClient
from support.workspace import faults
from support.workspace.endpoint import (
    MODEL,
    NAME,
    changed,
    configured,
    deploy,
    paths,
    promote,
    spec,
)
from support.workspace.host import Host

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.endpoint.traffic_shift import current_shares, shift


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
