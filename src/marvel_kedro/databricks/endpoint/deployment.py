"""The deployment of an endpoint: create it, or change what differs from its specification."""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Self

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import serving as sdk

from marvel_kedro.databricks.endpoint.errors import explained
from marvel_kedro.databricks.endpoint.spec import (
    EndpointSpec,
    format_served,
    routed_shares,
    served_entities,
    traffic_config,
)
from marvel_kedro.databricks.endpoint.update import UPDATE_TIMEOUT, Update, find, find_settled
from marvel_kedro.serving.traffic_split import format_shares, without_zeros

_Level = sdk.ServingEndpointPermissionLevel


def deploy(
    client: WorkspaceClient, spec: EndpointSpec, timeout: timedelta = UPDATE_TIMEOUT
) -> list[str]:
    """Create the endpoint, or change what differs, and verify that every served entity answers.

    An update in progress is waited for, an interrupted deployment is completed. If the new served
    entities do not start or do not answer, the previous ones are restored.

    Returns:
        A line per change; none if the endpoint was as specified.

    Raises:
        ProjectError: It names the endpoint, what failed, what serves now and the remedy.
    """
    found = find_settled(client, spec.name, timeout)
    if found is None:
        _create(client, spec)
        if spec.query_groups and (created := find(client, spec.name)):
            _grant(client, spec, created.id, _missing_groups(client, spec, created))
        Update(client, spec.name, spec.entities, spec.traffic, None, timeout).verify()
        return _new_lines(spec)
    difference = _Difference.of(client, spec, found)
    if difference.gateway:
        _put_gateway(client, spec, found.ai_gateway)
    if difference.tags:
        with explained(spec.name, "tagged"):
            tags = [sdk.EndpointTag(key, value) for key, value in difference.tags.items()]
            client.serving_endpoints.patch(spec.name, add_tags=tags)
    _grant(client, spec, found.id, difference.groups)
    update = Update(client, spec.name, spec.entities, spec.traffic, found.config, timeout)
    update.run(is_change=bool(difference.config))
    return difference.lines


def differences(client: WorkspaceClient, spec: EndpointSpec) -> list[str]:
    """Describe what `deploy` would change, one line each, without changing it."""
    found = find(client, spec.name)
    return _Difference.of(client, spec, found).lines if found else _new_lines(spec)


def _new_lines(spec: EndpointSpec) -> list[str]:
    return [f"the endpoint '{spec.name}' is new: {format_served(spec.entities, spec.traffic)}"]


def _create(client: WorkspaceClient, spec: EndpointSpec) -> None:
    gateway = _gateway(spec, None)
    with explained(spec.name, "created"):
        client.serving_endpoints.create(
            spec.name,
            config=sdk.EndpointCoreConfigInput(
                name=spec.name,
                served_entities=list(spec.entities),
                traffic_config=traffic_config(spec.traffic),
            ),
            ai_gateway=gateway if gateway.as_dict() else None,
            tags=[sdk.EndpointTag(key, value) for key, value in spec.tags.items()],
        )


def _put_gateway(
    client: WorkspaceClient, spec: EndpointSpec, current: sdk.AiGatewayConfig | None
) -> None:
    """Set inference table and rate limits; guardrails and other settings stay."""
    requested = [_gateway(spec, current)]
    table = _enabled_table(current)
    if table and spec.table and table != spec.table:
        # The platform changes the names of a table only while it is disabled.
        requested.insert(0, _gateway(replace(spec, table=None), current))
    for gateway in requested:
        with explained(spec.name, "given its inference table and rate limits"):
            client.serving_endpoints.put_ai_gateway(spec.name, **vars(gateway))


def _gateway(spec: EndpointSpec, current: sdk.AiGatewayConfig | None) -> sdk.AiGatewayConfig:
    table = _enabled_table(current)
    minute = sdk.AiGatewayRateLimitRenewalPeriod.MINUTE
    return replace(
        current or sdk.AiGatewayConfig(),
        inference_table_config=spec.table or (replace(table, enabled=False) if table else None),
        rate_limits=[
            sdk.AiGatewayRateLimit(
                renewal_period=minute, calls=calls, key=sdk.AiGatewayRateLimitKey(key)
            )
            for key, calls in spec.rate_limits.items()
        ],
    )


def _grant(
    client: WorkspaceClient, spec: EndpointSpec, endpoint_id: str | None, groups: list[str]
) -> None:
    if not groups:
        return
    access = [
        sdk.ServingEndpointAccessControlRequest(group_name=group, permission_level=_Level.CAN_QUERY)
        for group in groups
    ]
    with explained(spec.name, f"opened to {', '.join(groups)}"):
        client.serving_endpoints.update_permissions(str(endpoint_id), access_control_list=access)


@dataclass(frozen=True)
class _Difference:
    """Differences of an existing endpoint from its specification."""

    config: list[str]  # served entities and traffic, a line per difference
    gateway: list[str]  # inference table and rate limits, a line per difference
    tags: dict[str, str]  # tags that it lacks, or has with another value
    groups: list[str]  # groups that may not query it yet

    @classmethod
    def of(
        cls, client: WorkspaceClient, spec: EndpointSpec, found: sdk.ServingEndpointDetailed
    ) -> Self:
        tags = {tag.key: tag.value for tag in found.tags or ()}
        return cls(
            config=_config_lines(spec, found),
            gateway=_gateway_lines(spec, found.ai_gateway),
            tags={key: value for key, value in spec.tags.items() if tags.get(key) != value},
            groups=_missing_groups(client, spec, found),
        )

    @property
    def lines(self) -> list[str]:
        return [
            *self.config,
            *self.gateway,
            *(f"tag {key}: {value}" for key, value in self.tags.items()),
            *(f"{group} may query it" for group in self.groups),
        ]


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
    state = sdk.EndpointStateConfigUpdate
    failed = (state.UPDATE_FAILED, state.UPDATE_CANCELED)
    if not lines and found.state and found.state.config_update in failed:
        lines.append("the last update has failed: the configuration is applied again")
    return lines


def _gateway_lines(spec: EndpointSpec, gateway: sdk.AiGatewayConfig | None) -> list[str]:
    lines = []
    table = _enabled_table(gateway)
    if table != spec.table:
        lines.append(f"inference table: {_format_table(table)} -> {_format_table(spec.table)}")
    limits = {
        (limit.key.value if limit.key else "endpoint"): limit.calls or 0
        for limit in (gateway and gateway.rate_limits) or ()
    }
    if limits != spec.rate_limits:
        lines.append(f"calls a minute: {limits or 'no limit'} -> {spec.rate_limits or 'no limit'}")
    return lines


def _missing_groups(
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
        for held in entry.all_permissions or ()
        if held.permission_level in (_Level.CAN_QUERY, _Level.CAN_MANAGE)
    }
    return [group for group in spec.query_groups if group not in permitted]


def _enabled_table(
    gateway: sdk.AiGatewayConfig | None,
) -> sdk.AiGatewayInferenceTableConfig | None:
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
