"""The difference between an endpoint in the workspace and its specification."""

from dataclasses import dataclass
from typing import Self

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import serving as sdk

from marvel_kedro.databricks.endpoint.errors import explained
from marvel_kedro.databricks.endpoint.spec import (
    EndpointSpec,
    format_served,
    routed_shares,
    served_entities,
)
from marvel_kedro.databricks.endpoint.update import find
from marvel_kedro.serving.traffic_split import format_shares, without_zeros

_FAILED = (
    sdk.EndpointStateConfigUpdate.UPDATE_FAILED,
    sdk.EndpointStateConfigUpdate.UPDATE_CANCELED,
)
_MAY_QUERY = {
    sdk.ServingEndpointPermissionLevel.CAN_QUERY,
    sdk.ServingEndpointPermissionLevel.CAN_MANAGE,
}


@dataclass(frozen=True)
class Difference:
    """Differences of an existing endpoint from its specification.

    Attributes:
        config: Differences of served entities and traffic, one line each.
        gateway: Differences of inference table and rate limits, one line each.
        tags: Tags that it lacks, or has with another value.
        groups: Groups that may not query it yet.
    """

    config: list[str]
    gateway: list[str]
    tags: dict[str, str]
    groups: list[str]

    @classmethod
    def of(
        cls, client: WorkspaceClient, spec: EndpointSpec, found: sdk.ServingEndpointDetailed
    ) -> Self:
        """Compare an endpoint with its specification."""
        tags = {tag.key: tag.value for tag in found.tags or ()}
        return cls(
            config=_config_lines(spec, found),
            gateway=_gateway_lines(spec, found.ai_gateway),
            tags={key: value for key, value in spec.tags.items() if tags.get(key) != value},
            groups=missing_groups(client, spec, found),
        )

    @property
    def lines(self) -> list[str]:
        """A line per difference."""
        return [
            *self.config,
            *self.gateway,
            *(f"tag {key}: {value}" for key, value in self.tags.items()),
            *(f"{group} may query it" for group in self.groups),
        ]


def differences(client: WorkspaceClient, spec: EndpointSpec) -> list[str]:
    """Describe what `deploy` would change, one line each, without changing it."""
    found = find(client, spec.name)
    return Difference.of(client, spec, found).lines if found else new_lines(spec)


def new_lines(spec: EndpointSpec) -> list[str]:
    """Describe an endpoint that does not exist yet."""
    return [f"the endpoint '{spec.name}' is new: {format_served(spec.entities, spec.traffic)}"]


def _config_lines(spec: EndpointSpec, found: sdk.ServingEndpointDetailed) -> list[str]:
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


def _gateway_lines(spec: EndpointSpec, gateway: sdk.AiGatewayConfig | None) -> list[str]:
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


def missing_groups(
    client: WorkspaceClient, spec: EndpointSpec, found: sdk.ServingEndpointDetailed
) -> list[str]:
    """Return the groups that may not query the endpoint yet."""
    if not spec.query_groups:
        return []
    with explained(spec.name, "queried for its permissions"):
        entries = client.serving_endpoints.get_permissions(str(found.id)).access_control_list
    permitted = {
        entry.group_name
        for entry in entries or ()
        if _MAY_QUERY & {held.permission_level for held in entry.all_permissions or ()}
    }
    return [group for group in spec.query_groups if group not in permitted]


def enabled_table(
    gateway: sdk.AiGatewayConfig | None,
) -> sdk.AiGatewayInferenceTableConfig | None:
    """Return the inference table if it is enabled."""
    table = gateway.inference_table_config if gateway else None
    return table if table and table.enabled else None


def _format_entity(entity: sdk.ServedEntityInput | sdk.ServedEntityOutput) -> str:
    """Format all that the configuration sets of a served entity."""
    to_zero = ", to zero" if entity.scale_to_zero_enabled else ""
    return f"{entity.entity_name} version {entity.entity_version} ({entity.workload_size}{to_zero})"


def _format_table(table: sdk.AiGatewayInferenceTableConfig | None) -> str:
    if table is None:
        return "none"
    return f"{table.catalog_name}.{table.schema_name}.{table.table_name_prefix}_payload"
