"""The deployment of an endpoint: create it, or change what differs from its specification."""

from dataclasses import replace
from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import (
    AiGatewayConfig,
    AiGatewayRateLimit,
    AiGatewayRateLimitKey,
    AiGatewayRateLimitRenewalPeriod,
    EndpointCoreConfigInput,
    EndpointTag,
    ServingEndpointAccessControlRequest,
    ServingEndpointDetailed,
    ServingEndpointPermissionLevel,
)

from marvel_kedro.databricks.endpoint.difference import (
    config_difference,
    differences_from,
    enabled_table,
    gateway_difference,
    missing_groups,
    missing_tags,
)
from marvel_kedro.databricks.endpoint.errors import explained
from marvel_kedro.databricks.endpoint.spec import EndpointSpec, traffic_config
from marvel_kedro.databricks.endpoint.update import UPDATE_TIMEOUT, Update, find, find_settled


def deploy(
    client: WorkspaceClient, spec: EndpointSpec, timeout: timedelta = UPDATE_TIMEOUT
) -> list[str]:
    """Create the endpoint, or change what differs, and verify that every served entity answers.

    An update in progress is waited for, an interrupted deployment is completed. If the new served
    entities do not start or do not answer, the previous ones are restored.

    Args:
        client: The workspace.
        spec: The endpoint to reach.
        timeout: How long an update may take.

    Returns:
        A line per change; none if the endpoint was as specified.

    Raises:
        ProjectError: It names the endpoint, what failed, what serves now and the remedy.
    """
    found = find_settled(client, spec.name, timeout)
    changes = differences_from(client, spec, found)
    if found is None:
        _create(client, spec)
        _grant(client, spec)
        Update(client, spec.name, spec.entities, spec.traffic, None, timeout).verify()
        return changes
    _put_gateway(client, spec, found)
    if tags := missing_tags(spec, found):
        with explained(spec.name, "tagged"):
            added = [EndpointTag(key, value) for key, value in tags.items()]
            client.serving_endpoints.patch(spec.name, add_tags=added)
    _grant(client, spec)
    update = Update(client, spec.name, spec.entities, spec.traffic, found.config, timeout)
    update.run(is_change=bool(config_difference(spec, found)))
    return changes


def _create(client: WorkspaceClient, spec: EndpointSpec) -> None:
    gateway = _gateway(spec, None)
    with explained(spec.name, "created"):
        client.serving_endpoints.create(
            spec.name,
            config=EndpointCoreConfigInput(
                name=spec.name,
                served_entities=list(spec.entities),
                traffic_config=traffic_config(spec.traffic),
            ),
            ai_gateway=gateway if gateway.as_dict() else None,
            tags=[EndpointTag(key, value) for key, value in spec.tags.items()],
        )


def _put_gateway(
    client: WorkspaceClient, spec: EndpointSpec, found: ServingEndpointDetailed
) -> None:
    """Set inference table and rate limits; guardrails and other settings stay."""
    current = found.ai_gateway
    if not gateway_difference(spec, current):
        return
    requested = [_gateway(spec, current)]
    table = enabled_table(current)
    if table and spec.table and table != spec.table:
        # The platform changes the names of a table only while it is disabled.
        requested.insert(0, _gateway(replace(spec, table=None), current))
    for gateway in requested:
        with explained(spec.name, "given its inference table and rate limits"):
            client.serving_endpoints.put_ai_gateway(
                spec.name,
                fallback_config=gateway.fallback_config,
                guardrails=gateway.guardrails,
                inference_table_config=gateway.inference_table_config,
                rate_limits=gateway.rate_limits,
                usage_tracking_config=gateway.usage_tracking_config,
            )


def _gateway(spec: EndpointSpec, current: AiGatewayConfig | None) -> AiGatewayConfig:
    table = enabled_table(current)
    return replace(
        current or AiGatewayConfig(),
        inference_table_config=spec.table or (replace(table, enabled=False) if table else None),
        rate_limits=[
            AiGatewayRateLimit(
                renewal_period=AiGatewayRateLimitRenewalPeriod.MINUTE,
                key=AiGatewayRateLimitKey(key),
                calls=calls,
            )
            for key, calls in spec.rate_limits.items()
        ],
    )


def _grant(client: WorkspaceClient, spec: EndpointSpec) -> None:
    """Let those groups query the endpoint that may not yet."""
    found = find(client, spec.name) if spec.query_groups else None
    groups = missing_groups(client, spec, found) if found else []
    if not (found and groups):
        return
    with explained(spec.name, f"opened to {', '.join(groups)}"):
        client.serving_endpoints.update_permissions(
            str(found.id),
            access_control_list=[
                ServingEndpointAccessControlRequest(
                    group_name=group, permission_level=ServingEndpointPermissionLevel.CAN_QUERY
                )
                for group in groups
            ],
        )
