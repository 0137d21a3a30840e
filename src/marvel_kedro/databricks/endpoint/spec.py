"""The endpoint that the configuration requests, and what an endpoint serves, in the SDK's types."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from databricks.sdk.service import serving as sdk

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.serving.traffic_split import format_shares, redistribute

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EndpointSpec:
    """The endpoint to reach; other tags and groups that it has stay."""

    name: str
    entities: tuple[sdk.ServedEntityInput, ...]
    traffic: dict[str, int]  # percentages by served entity, 100 in all
    table: sdk.AiGatewayInferenceTableConfig | None  # None: requests are not recorded
    rate_limits: dict[str, int]  # calls per minute by key
    tags: dict[str, str]
    query_groups: tuple[str, ...]  # which may query it

    @classmethod
    def of(
        cls, endpoint: EndpointOptions, versions: Mapping[str, str], catalog: str, schema: str
    ) -> Self:
        """Translate the configuration, with the inference table in this catalog and schema.

        An entity without a version gets no traffic.

        Raises:
            ProjectError: The platform lacks a requested feature; the message names the key.
        """
        table, options = endpoint.inference_table, endpoint.databricks
        if table.enabled and table.redact:
            raise ProjectError(
                f"endpoint.inference_table.redact hides {', '.join(table.redact)}, and the "
                f"inference table of the endpoint '{endpoint.name}' on Databricks cannot hide "
                "fields. Set endpoint.inference_table.enabled: false there, or redact: []."
            )
        if table.enabled and table.sampling_fraction < 1:
            logger.warning(
                "endpoint.inference_table.sampling_fraction does nothing on Databricks: every "
                "request is logged."
            )
        return cls(
            name=endpoint.name,
            entities=tuple(
                sdk.ServedEntityInput(
                    name=name,
                    entity_name=endpoint.model,
                    entity_version=version,
                    workload_size=options.workload_size,
                    scale_to_zero_enabled=options.scale_to_zero,
                )
                for name, version in versions.items()
            ),
            traffic=redistribute(endpoint.traffic, versions),
            table=sdk.AiGatewayInferenceTableConfig(
                catalog_name=catalog,
                schema_name=schema,
                table_name_prefix=table.table_name_prefix,
                enabled=True,
            )
            if table.enabled
            else None,
            rate_limits={limit.key: limit.calls for limit in options.rate_limits},
            tags=options.tags,
            query_groups=options.query_groups,
        )


def served_entities(
    config: sdk.EndpointCoreConfigOutput | sdk.EndpointPendingConfig | None,
) -> list[sdk.ServedEntityOutput]:
    """Return the served entities; none for an endpoint that has never come up."""
    return (config.served_entities if config else None) or []


def as_input(entity: sdk.ServedEntityOutput) -> sdk.ServedEntityInput:
    """Convert a served entity so that it can be requested again."""
    converted = sdk.ServedEntityInput.from_dict(entity.as_dict())
    if converted.workload_size:  # the platform accepts a size or these, not both
        converted.min_provisioned_concurrency = converted.max_provisioned_concurrency = None
    return converted


def routed_shares(config: sdk.EndpointCoreConfigOutput | None) -> dict[str, int]:
    """Return the shares of the routes; older endpoints call a served entity a model."""
    routes = config.traffic_config.routes if config and config.traffic_config else None
    return {
        str(route.served_entity_name or route.served_model_name): int(route.traffic_percentage)
        for route in routes or ()
    }


def all_shares(config: sdk.EndpointCoreConfigOutput) -> dict[str, int]:
    """Return the shares of all served entities; a single one needs no route."""
    served = [str(entity.name) for entity in served_entities(config)]
    return redistribute(routed_shares(config), served)


def traffic_config(shares: Mapping[str, int]) -> sdk.TrafficConfig | None:
    """Convert shares to routes; None without shares, as for a single served entity."""
    routes = [
        sdk.Route(traffic_percentage=share, served_entity_name=name)
        for name, share in shares.items()
    ]
    return sdk.TrafficConfig(routes=routes) if routes else None


def format_served(
    entities: Sequence[sdk.ServedEntityInput | sdk.ServedEntityOutput], shares: Mapping[str, int]
) -> str:
    """Format versions and shares of the served entities for messages."""
    versions = ", ".join(f"{entity.name} version {entity.entity_version}" for entity in entities)
    return f"{versions} (traffic: {format_shares(shares)})"
