"""What of an endpoint is not as described."""

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import (
    AiGatewayConfig,
    AiGatewayInferenceTableConfig,
    EndpointStateConfigUpdate,
    ServedEntityInput,
    ServedEntityOutput,
    ServingEndpointDetailed,
    ServingEndpointPermissionLevel,
)

from marvel_kedro.databricks.endpoint.errors import asking
from marvel_kedro.databricks.endpoint.served_entities import (
    routed_shares,
    served_entities,
    serving_words,
    traffic_words,
    without_zeros,
)
from marvel_kedro.databricks.endpoint.spec import Wanted
from marvel_kedro.databricks.endpoint.waiting import find

_FAILED = (EndpointStateConfigUpdate.UPDATE_FAILED, EndpointStateConfigUpdate.UPDATE_CANCELED)


def differences(client: WorkspaceClient, wanted: Wanted) -> list[str]:
    """Say what `deploy` would change now; nothing is changed.

    Returns:
        A sentence a difference; none if all is as described.
    """
    return differences_from(client, wanted, find(client, wanted.name))


def differences_from(
    client: WorkspaceClient, wanted: Wanted, found: ServingEndpointDetailed | None
) -> list[str]:
    """Likewise, where the endpoint was looked up already."""
    if found is None:
        words = serving_words(wanted.entities, wanted.traffic)
        return [f"the endpoint '{wanted.name}' is new: {words}"]
    return [
        *config_difference(wanted, found),
        *gateway_difference(wanted, found.ai_gateway),
        *(f"tag {key}: {value}" for key, value in missing_tags(wanted, found).items()),
        *(f"{group} may query it" for group in missing_groups(client, wanted, found)),
    ]


def config_difference(wanted: Wanted, found: ServingEndpointDetailed) -> list[str]:
    """What of served entities and traffic is not as described, a sentence each."""
    there = {entity.name: _key(entity) for entity in served_entities(found.config)}
    asked = {entity.name: _key(entity) for entity in wanted.entities}
    told = [
        f"{name}: {_entity_words(there.get(name))} -> {_entity_words(asked.get(name))}"
        for name in dict.fromkeys([*there, *asked])
        if there.get(name) != asked.get(name)
    ]
    shares = routed_shares(found.config)
    if without_zeros(shares) != without_zeros(wanted.traffic):
        told.append(f"traffic: {traffic_words(shares)} -> {traffic_words(wanted.traffic)}")
    if not told and found.state and found.state.config_update in _FAILED:
        told.append("the last update has failed: what is described is set again")
    return told


def gateway_difference(wanted: Wanted, there: AiGatewayConfig | None) -> list[str]:
    """What of the inference table and the rate limits is not as described, a sentence each."""
    told = []
    table = enabled_table(there)
    if table != wanted.table:
        told.append(f"inference table: {_table_words(table)} -> {_table_words(wanted.table)}")
    limits = {
        (limit.key.value if limit.key else "endpoint"): limit.calls or 0
        for limit in (there and there.rate_limits) or ()
    }
    if limits != wanted.rate_limits:
        told.append(f"calls a minute: {limits or 'no limit'} -> {wanted.rate_limits or 'no limit'}")
    return told


def missing_tags(wanted: Wanted, found: ServingEndpointDetailed) -> dict[str, str]:
    """Tags that it has not, or with another value."""
    there = {tag.key: tag.value for tag in found.tags or ()}
    return {key: value for key, value in wanted.tags.items() if there.get(key) != value}


def missing_groups(
    client: WorkspaceClient, wanted: Wanted, found: ServingEndpointDetailed
) -> list[str]:
    """Groups that may not query it yet."""
    if not wanted.query_groups:
        return []
    with asking(wanted.name, "asked who may query it"):
        lists = client.serving_endpoints.get_permissions(str(found.id)).access_control_list
    enough = {ServingEndpointPermissionLevel.CAN_QUERY, ServingEndpointPermissionLevel.CAN_MANAGE}
    may = {
        entry.group_name
        for entry in lists or ()
        if enough & {held.permission_level for held in entry.all_permissions or ()}
    }
    return [group for group in wanted.query_groups if group not in may]


def enabled_table(there: AiGatewayConfig | None) -> AiGatewayInferenceTableConfig | None:
    """The inference table, if it is on."""
    table = there.inference_table_config if there else None
    return table if table and table.enabled else None


def _key(entity: ServedEntityInput | ServedEntityOutput) -> tuple[str, str, str, bool]:
    """What the description says of a served entity."""
    return (
        str(entity.entity_name),
        str(entity.entity_version),
        str(entity.workload_size),
        bool(entity.scale_to_zero_enabled),
    )


def _entity_words(key: tuple[str, str, str, bool] | None) -> str:
    if key is None:
        return "nothing"
    model, version, size, to_zero = key
    return f"{model} version {version} ({size}{', to zero' if to_zero else ''})"


def _table_words(table: AiGatewayInferenceTableConfig | None) -> str:
    if table is None:
        return "none"
    return f"{table.catalog_name}.{table.schema_name}.{table.table_name_prefix}_payload"
