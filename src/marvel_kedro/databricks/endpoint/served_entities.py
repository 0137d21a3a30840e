"""What an endpoint serves, with which shares: read, asked for, and said in words."""

from collections.abc import Mapping, Sequence

from databricks.sdk.service.serving import (
    EndpointCoreConfigOutput,
    EndpointPendingConfig,
    Route,
    ServedEntityInput,
    ServedEntityOutput,
    TrafficConfig,
)

from marvel_kedro.serving.configuration import effective_traffic


def served_entities(
    config: EndpointCoreConfigOutput | EndpointPendingConfig | None,
) -> list[ServedEntityOutput]:
    """What is served; nothing by an endpoint that has never come up."""
    return (config.served_entities if config else None) or []


def as_input(entity: ServedEntityOutput) -> ServedEntityInput:
    """What was served, as it is asked for."""
    asked = ServedEntityInput.from_dict(entity.as_dict())
    if asked.workload_size:  # the platform takes a size or these
        asked.min_provisioned_concurrency = asked.max_provisioned_concurrency = None
    return asked


def routed_shares(config: EndpointCoreConfigOutput | None) -> dict[str, int]:
    """Who gets how much by the routes; older endpoints call a served entity a model."""
    routes = config.traffic_config.routes if config and config.traffic_config else None
    return {
        str(route.served_entity_name or route.served_model_name): int(route.traffic_percentage)
        for route in routes or ()
    }


def all_shares(config: EndpointCoreConfigOutput) -> dict[str, int]:
    """Who gets how much, also those who get nothing and who is alone and needs no route."""
    return effective_traffic(
        routed_shares(config), [str(entity.name) for entity in served_entities(config)]
    )


def without_zeros(shares: Mapping[str, int]) -> dict[str, int]:
    """The shares of those who get any: the same traffic is written with and without zeros."""
    return {name: share for name, share in shares.items() if share}


def traffic_config(traffic: Mapping[str, int]) -> TrafficConfig | None:
    """Shares as routes."""
    if not traffic:  # of one served entity, which needs none
        return None
    return TrafficConfig(
        routes=[
            Route(served_entity_name=name, traffic_percentage=share)
            for name, share in traffic.items()
        ]
    )


def serving_words(
    entities: Sequence[ServedEntityInput | ServedEntityOutput], traffic: Mapping[str, int]
) -> str:
    """Who serves which version with which share, for people."""
    versions = ", ".join(f"{entity.name} version {entity.entity_version}" for entity in entities)
    return f"{versions} (traffic: {traffic_words(traffic)})"


def traffic_words(traffic: Mapping[str, int]) -> str:
    """Who gets how much, for people."""
    return ", ".join(f"{name} {share} %" for name, share in traffic.items()) or "none"
