"""Creation of an endpoint, and what a deployment changes of an existing one."""

from typing import Any

import databricks.sdk.service.serving as sdk
import pytest
from databricks.sdk import WorkspaceClient
from support.workspace.endpoint import (
    CATALOG,
    MODEL,
    NAME,
    SCHEMA_NAME,
    changed,
    configured,
    deploy,
    deploy_error,
    paths,
    promote,
    spec,
)
from support.workspace.host import Host

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.endpoint import deployment
from marvel_kedro.databricks.endpoint.deployment import differences
from marvel_kedro.databricks.endpoint.spec import EndpointSpec


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
