"""`kedro endpoint`: who is served, and shares of the traffic that move while servers run.

A shift is a tag of the registered model: every server of the endpoint, on whatever machine, sees it
at its next look at the registry. Without the tag the description's traffic holds.
"""

import json
from contextlib import suppress
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.aliases import NO_MODEL
from marvel_kedro.serving.configuration import (
    EndpointOptions,
    ServerOptions,
    effective_traffic,
    traffic_tag,
)
from marvel_kedro.serving.models.registry_watch import read_traffic
from marvel_kedro.serving.models.served_versions import served_versions

_SECONDS = 5.0


def traffic(endpoint: EndpointOptions) -> dict[str, int]:
    """The shares that hold now: those of the last shift, else those of the description.

    Raises:
        ProjectError: There is no such model, or its tag is no traffic.
    """
    said = _tag(endpoint)
    try:
        return read_traffic(said, endpoint) if said else dict(endpoint.traffic)
    except ValueError as error:
        raise ProjectError(str(error)) from error


def shares_to_move(endpoint: EndpointOptions) -> dict[str, int]:
    """The shares that hold now, of all served entities, for a shift to begin with.

    A tag that is no traffic, such as one that names an entity which is served no more, is what a
    shift mends: the description's shares are taken then.

    Raises:
        ProjectError: There is no such model.
    """
    said = _tag(endpoint)
    shares = endpoint.traffic
    if said:
        with suppress(ValueError):
            shares = read_traffic(said, endpoint)
    return {entity.name: 0 for entity in endpoint.served_entities} | shares


def _tag(endpoint: EndpointOptions) -> str | None:
    """What the last shift has left."""
    try:
        tags = MlflowClient().get_registered_model(endpoint.model).tags
    except MlflowException as error:
        if error.error_code in NO_MODEL:
            raise ProjectError(
                f"There is no model '{endpoint.model}' in the registry. Train one: make run."
            ) from error
        raise
    return tags.get(traffic_tag(endpoint.name))


def lines(endpoint: EndpointOptions) -> list[str]:
    """A sentence a served entity: its version and its share."""
    shares = traffic(endpoint)
    versions = served_versions(endpoint)
    effective = effective_traffic(shares, list(versions))
    return [
        f"{entity.name}: version {versions[entity.name]} of {endpoint.model}, "
        f"{effective[entity.name]} % of the traffic"
        if entity.name in versions
        else f"{entity.name}: nobody, no version has the alias {entity.alias}"
        for entity in endpoint.served_entities
    ]


def running(server: ServerOptions, token: str | None) -> list[str]:
    """What the server on this machine says of itself; nothing if none runs."""
    try:
        with requests.Session() as session:
            session.trust_env = False  # no proxy between this machine and itself
            answer = session.get(
                f"{server.url}/version",
                headers={"Authorization": f"Bearer {token}"} if token else {},
                timeout=_SECONDS,
            )
            said: dict[str, Any] = answer.json()
    except (requests.RequestException, ValueError):
        return [f"No server answers at {server.url}: kedro serve starts one."]
    if not answer.ok:
        return [f"The server at {server.url} says: {said.get('message', answer.status_code)}"]
    found = [
        f"The server at {server.url} answers with "
        + ", ".join(f"{one['name']} {one['entity_version']}" for one in said["served_entities"])
        + "."
    ]
    return found + ([said["faults"]] if said["faults"] else [])


def shifted(shares: dict[str, int], entity: str, percent: int) -> dict[str, int]:
    """Give an entity a share; the others keep their proportions in what is left.

    Raises:
        ProjectError: Nobody is called so, or there is nobody else to have the rest.
    """
    if entity not in shares:
        raise ProjectError(f"{entity} is not served: {', '.join(shares)} are.")
    others = [name for name in shares if name != entity]
    rest = 100 - percent
    if rest and not others:
        raise ProjectError(f"{entity} is alone and has all of the traffic.")
    of_rest = effective_traffic(shares, others)
    exact = {name: of_rest[name] * rest / 100 for name in others}
    whole = {name: int(share) for name, share in exact.items()}
    for name in sorted(others, key=lambda name: whole[name] - exact[name])[
        : rest - sum(whole.values())
    ]:
        whole[name] += 1
    return {name: percent if name == entity else whole[name] for name in shares}


def shift(endpoint: EndpointOptions, shares: dict[str, int]) -> dict[str, int]:
    """Move traffic, for all servers.

    Returns:
        The new shares.

    Raises:
        ProjectError: An entity that is to get traffic has no version that could answer.
    """
    versions = served_versions(endpoint)
    if nobody := [name for name, share in shares.items() if share and name not in versions]:
        raise ProjectError(
            f"{', '.join(nobody)}: no version that could answer; the alias points nowhere."
        )
    MlflowClient().set_registered_model_tag(
        endpoint.model, traffic_tag(endpoint.name), json.dumps(shares)
    )
    return shares


def reset(endpoint: EndpointOptions) -> dict[str, int]:
    """Go back to the traffic of the description, at once."""
    tag = traffic_tag(endpoint.name)
    if tag in MlflowClient().get_registered_model(endpoint.model).tags:
        MlflowClient().delete_registered_model_tag(endpoint.model, tag)
    return dict(endpoint.traffic)
