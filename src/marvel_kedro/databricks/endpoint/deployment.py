"""The deployment of an endpoint: create it, or change what differs from its specification."""

from dataclasses import replace
from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import serving as sdk

from marvel_kedro.databricks.endpoint.difference import (
    Difference,
    enabled_table,
    missing_groups,
    new_lines,
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

    Returns:
        A line per change; none if the endpoint was as specified.

    Raises:
        ProjectError: It names the endpoint, what failed, what serves now and the remedy.
    """
    found = find_settled(client, spec.name, timeout)
    if found is None:
        _create(client, spec)
        created = find(client, spec.name) if spec.query_groups else None
        if created:
            _grant(client, spec, created, missing_groups(client, spec, created))
        Update(client, spec.name, spec.entities, spec.traffic, None, timeout).verify()
        return new_lines(spec)
    difference = Difference.of(client, spec, found)
    if difference.gateway:
        _put_gateway(client, spec, found.ai_gateway)
    if difference.tags:
        with explained(spec.name, "tagged"):
            tags = [sdk.EndpointTag(key, value) for key, value in difference.tags.items()]
            client.serving_endpoints.patch(spec.name, add_tags=tags)
    _grant(client, spec, found, difference.groups)
    update = Update(client, spec.name, spec.entities, spec.traffic, found.config, timeout)
    update.run(is_change=bool(difference.config))
    return difference.lines


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
    table = enabled_table(current)
    if table and spec.table and table != spec.table:
        # The platform changes the names of a table only while it is disabled.
        requested.insert(0, _gateway(replace(spec, table=None), current))
    for gateway in requested:
        with explained(spec.name, "given its inference table and rate limits"):
            client.serving_endpoints.put_ai_gateway(spec.name, **vars(gateway))


def _gateway(spec: EndpointSpec, current: sdk.AiGatewayConfig | None) -> sdk.AiGatewayConfig:
    table = enabled_table(current)
    return replace(
        current or sdk.AiGatewayConfig(),
        inference_table_config=spec.table or (replace(table, enabled=False) if table else None),
        rate_limits=[
            sdk.AiGatewayRateLimit(
                renewal_period=sdk.AiGatewayRateLimitRenewalPeriod.MINUTE,
                key=sdk.AiGatewayRateLimitKey(key),
                calls=calls,
            )
            for key, calls in spec.rate_limits.items()
        ],
    )


def _grant(
    client: WorkspaceClient,
    spec: EndpointSpec,
    found: sdk.ServingEndpointDetailed,
    groups: list[str],
) -> None:
    if not groups:
        return
    with explained(spec.name, f"opened to {', '.join(groups)}"):
        client.serving_endpoints.update_permissions(
            str(found.id),
            access_control_list=[
                sdk.ServingEndpointAccessControlRequest(
                    group_name=group,
                    permission_level=sdk.ServingEndpointPermissionLevel.CAN_QUERY,
                )
                for group in groups
            ],
        )
