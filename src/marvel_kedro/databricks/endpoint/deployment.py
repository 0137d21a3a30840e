"""`deploy`: an endpoint is made, or what differs of it is changed."""

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
from marvel_kedro.databricks.endpoint.errors import asking
from marvel_kedro.databricks.endpoint.served_entities import traffic_config
from marvel_kedro.databricks.endpoint.spec import Wanted
from marvel_kedro.databricks.endpoint.update import see, serve
from marvel_kedro.databricks.endpoint.waiting import WAIT, find, settled


def deploy(client: WorkspaceClient, wanted: Wanted, timeout: timedelta = WAIT) -> list[str]:
    """Make the endpoint, or what differs of it, and see that every served entity answers.

    An update that is under way is waited for. What a deployment that died has left is completed.
    Where the new served entities do not come up or do not answer, what served before is brought
    back.

    Args:
        client: The workspace.
        wanted: What is to be there.
        timeout: How long an update may take.

    Returns:
        What was changed, a sentence each; none if all was as described.

    Raises:
        ProjectError: It names the endpoint, what failed, what serves now and the remedy.
    """
    found = settled(client, wanted.name, timeout)
    done = differences_from(client, wanted, found)
    if found is None:
        gateway = _gateway(wanted, None)
        with asking(wanted.name, "made"):
            client.serving_endpoints.create(
                wanted.name,
                config=EndpointCoreConfigInput(
                    name=wanted.name,
                    served_entities=list(wanted.entities),
                    traffic_config=traffic_config(wanted.traffic),
                ),
                ai_gateway=gateway if gateway.as_dict() else None,
                tags=[EndpointTag(key, value) for key, value in wanted.tags.items()],
            )
        _grant(client, wanted)
        see(client, wanted.name, wanted.entities, wanted.traffic, None, timeout=timeout)
        return done
    _put_gateway(client, wanted, found)
    if tags := missing_tags(wanted, found):
        with asking(wanted.name, "tagged"):
            added = [EndpointTag(key, value) for key, value in tags.items()]
            client.serving_endpoints.patch(wanted.name, add_tags=added)
    _grant(client, wanted)
    serve(
        client,
        wanted.name,
        wanted.entities,
        wanted.traffic,
        found.config,
        timeout=timeout,
        change=bool(config_difference(wanted, found)),
    )
    return done


def _put_gateway(client: WorkspaceClient, wanted: Wanted, found: ServingEndpointDetailed) -> None:
    """Set inference table and rate limits; guardrails and the like stay as they are."""
    there = found.ai_gateway
    if not gateway_difference(wanted, there):
        return
    asked = [_gateway(wanted, there)]
    table = enabled_table(there)
    if table and wanted.table and table != wanted.table:
        # The platform changes its names only while it is off.
        asked.insert(0, _gateway(replace(wanted, table=None), there))
    for gateway in asked:
        with asking(wanted.name, "given its inference table and rate limits"):
            client.serving_endpoints.put_ai_gateway(
                wanted.name,
                fallback_config=gateway.fallback_config,
                guardrails=gateway.guardrails,
                inference_table_config=gateway.inference_table_config,
                rate_limits=gateway.rate_limits,
                usage_tracking_config=gateway.usage_tracking_config,
            )


def _gateway(wanted: Wanted, there: AiGatewayConfig | None) -> AiGatewayConfig:
    table = enabled_table(there)
    return AiGatewayConfig(
        fallback_config=there.fallback_config if there else None,
        guardrails=there.guardrails if there else None,
        usage_tracking_config=there.usage_tracking_config if there else None,
        inference_table_config=wanted.table or (replace(table, enabled=False) if table else None),
        rate_limits=[
            AiGatewayRateLimit(
                renewal_period=AiGatewayRateLimitRenewalPeriod.MINUTE,
                key=AiGatewayRateLimitKey(key),
                calls=calls,
            )
            for key, calls in wanted.rate_limits.items()
        ],
    )


def _grant(client: WorkspaceClient, wanted: Wanted) -> None:
    """Let the groups query the endpoint that are not yet allowed to."""
    found = find(client, wanted.name) if wanted.query_groups else None
    groups = missing_groups(client, wanted, found) if found else []
    if not (found and groups):
        return
    with asking(wanted.name, f"opened to {', '.join(groups)}"):
        client.serving_endpoints.update_permissions(
            str(found.id),
            access_control_list=[
                ServingEndpointAccessControlRequest(
                    group_name=group, permission_level=ServingEndpointPermissionLevel.CAN_QUERY
                )
                for group in groups
            ],
        )
