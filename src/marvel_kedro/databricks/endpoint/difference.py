"""The difference between an endpoint in the workspace and its specification."""

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

from marvel_kedro.databricks.endpoint.errors import explained
from marvel_kedro.databricks.endpoint.spec import (
    EndpointSpec,
    format_served,
    routed_shares,
    served_entities,
)
from marvel_kedro.databricks.endpoint.update import find
from marvel_kedro.serving.traffic_split import format_shares, without_zeros

_FAILED = (EndpointStateConfigUpdate.UPDATE_FAILED, EndpointStateConfigUpdate.UPDATE_CANCELED)


def differences(client: WorkspaceClient, spec: EndpointSpec) -> list[str]:
    """Describe what `deploy` would change, without changing it.

    Returns:
        A line per difference; none if the endpoint is as specified.
    """
    return differences_from(client, spec, find(client, spec.name))


def differences_from(
    client: WorkspaceClient, spec: EndpointSpec, found: ServingEndpointDetailed | None
) -> list[str]:
    """Describe the differences of an endpoint that was already looked up."""
    if found is None:
        served = format_served(spec.entities, spec.traffic)
        return [f"the endpoint '{spec.name}' is new: {served}"]
    return [
        *config_difference(spec, found),
        *gateway_difference(spec, found.ai_gateway),
        *(f"tag {key}: {value}" for key, value in missing_tags(spec, found).items()),
        *(f"{group} may query it" for group in missing_groups(client, spec, found)),
    ]


def config_difference(spec: EndpointSpec, found: ServingEndpointDetailed) -> list[str]:
    """Describe the differences of served entities and traffic, one line each."""
    current = {entity.name: _format_entity(entity) for entity in served_entities(found.config)}
    target = {entity.name: _format_entity(entity) for entity in spec.entities}
    lines = [
        f"{name}: {current.get(name, 'nothing')} -> {target.get(name, 'nothing')}"
        for name in dict.fromkeys([*current, *target])
        if current.get(name) != target.get(name)
    ]
    shares = routed_shares(found.config)
    if without_zeros(shares) != without_zeros(spec.traffic):
        lines.append(f"traffic: {format_shares(shares)} -> {format_shares(spec.traffic)}")
    if not lines and found.state and found.state.config_update in _FAILED:
        lines.append("the last update has failed: the configuration is applied again")
    return lines


def gateway_difference(spec: EndpointSpec, gateway: AiGatewayConfig | None) -> list[str]:
    """Describe the differences of inference table and rate limits, one line each."""
    lines = []
    table = enabled_table(gateway)
    if table != spec.table:
        lines.append(f"inference table: {_format_table(table)} -> {_format_table(spec.table)}")
    limits = {
        (limit.key.value if limit.key else "endpoint"): limit.calls or 0
        for limit in (gateway and gateway.rate_limits) or ()
    }
    if limits != spec.rate_limits:
        lines.append(f"calls a minute: {limits or 'no limit'} -> {spec.rate_limits or 'no limit'}")
    return lines


def missing_tags(spec: EndpointSpec, found: ServingEndpointDetailed) -> dict[str, str]:
    """Return the tags that the endpoint lacks, or has with another value."""
    current = {tag.key: tag.value for tag in found.tags or ()}
    return {key: value for key, value in spec.tags.items() if current.get(key) != value}


def missing_groups(
    client: WorkspaceClient, spec: EndpointSpec, found: ServingEndpointDetailed
) -> list[str]:
    """Return the groups that may not query the endpoint yet."""
    if not spec.query_groups:
        return []
    with explained(spec.name, "queried for its permissions"):
        entries = client.serving_endpoints.get_permissions(str(found.id)).access_control_list
    sufficient = {
        ServingEndpointPermissionLevel.CAN_QUERY,
        ServingEndpointPermissionLevel.CAN_MANAGE,
    }
    permitted = {
        entry.group_name
        for entry in entries or ()
        if sufficient & {held.permission_level for held in entry.all_permissions or ()}
    }
    return [group for group in spec.query_groups if group not in permitted]


def enabled_table(gateway: AiGatewayConfig | None) -> AiGatewayInferenceTableConfig | None:
    """Return the inference table if it is enabled."""
    table = gateway.inference_table_config if gateway else None
    return table if table and table.enabled else None


def _format_entity(entity: ServedEntityInput | ServedEntityOutput) -> str:
    """Format all that the configuration sets of a served entity."""
    to_zero = ", to zero" if entity.scale_to_zero_enabled else ""
    return f"{entity.entity_name} version {entity.entity_version} ({entity.workload_size}{to_zero})"


def _format_table(table: AiGatewayInferenceTableConfig | None) -> str:
    if table is None:
        return "none"
    return f"{table.catalog_name}.{table.schema_name}.{table.table_name_prefix}_payload"
