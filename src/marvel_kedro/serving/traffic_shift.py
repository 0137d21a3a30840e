"""Traffic shifts: a tag of the registered model that running servers follow, on every machine."""

import json
from contextlib import suppress

from mlflow import MlflowClient

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.aliases import TRAFFIC_TAG
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.serving.models.registry_watch import model_tags
from marvel_kedro.serving.models.served_versions import served_versions


def current_shares(endpoint: EndpointOptions) -> dict[str, int]:
    """Return the shares in effect: those of the last shift, else the configured ones.

    Raises:
        ProjectError: The model does not exist, or its tag holds no valid shares.
    """
    tags = _existing_tags(endpoint)
    try:
        return endpoint.current_traffic(tags)
    except ValueError as error:
        raise ProjectError(str(error)) from error


def shares_to_shift(endpoint: EndpointOptions) -> dict[str, int]:
    """Return the shares in effect of all served entities, as the start of a shift.

    A tag without valid shares, such as one that names an entity which is no longer served, is
    ignored in favour of the configured shares, so that a shift repairs it.

    Raises:
        ProjectError: The model does not exist.
    """
    tags, shares = _existing_tags(endpoint), endpoint.traffic
    with suppress(ValueError):
        shares = endpoint.current_traffic(tags)
    return dict.fromkeys(endpoint.entity_names, 0) | shares


def shift(endpoint: EndpointOptions, shares: dict[str, int]) -> dict[str, int]:
    """Set the shares for all servers of the endpoint, and return them.

    Raises:
        ProjectError: An entity with a positive share has no version that could answer.
    """
    versions = served_versions(endpoint)
    if missing := [name for name, share in shares.items() if share and name not in versions]:
        raise ProjectError(
            f"{', '.join(missing)}: no version can answer, because the alias points to none. "
            "Set the alias first, or shift traffic to another entity."
        )
    tag = TRAFFIC_TAG.format(endpoint.name)
    MlflowClient().set_registered_model_tag(endpoint.model, tag, json.dumps(shares))
    return shares


def reset(endpoint: EndpointOptions) -> dict[str, int]:
    """Go back to the configured shares at once, and return them."""
    tag = TRAFFIC_TAG.format(endpoint.name)
    if tag in _existing_tags(endpoint):
        MlflowClient().delete_registered_model_tag(endpoint.model, tag)
    return dict(endpoint.traffic)


def _existing_tags(endpoint: EndpointOptions) -> dict[str, str]:
    tags = model_tags(endpoint.model)
    if tags is None:
        raise ProjectError(
            f"There is no model '{endpoint.model}' in the registry. Train one: make run."
        )
    return tags
