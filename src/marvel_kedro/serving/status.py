"""The status of the endpoint: what the registry serves, and what a running server answers with."""

from typing import Any

import requests

from marvel_kedro.serving import traffic_shift
from marvel_kedro.serving.configuration import EndpointOptions, ServerOptions
from marvel_kedro.serving.models.served_versions import served_versions
from marvel_kedro.serving.traffic_split import redistribute

_TIMEOUT_SECONDS = 5.0


def served_lines(endpoint: EndpointOptions) -> list[str]:
    """Describe version and traffic share of each served entity, one line per entity.

    Raises:
        ProjectError: The model does not exist, its traffic tag is invalid, or nothing is served.
    """
    shares = traffic_shift.current_shares(endpoint)
    versions = served_versions(endpoint)
    effective = redistribute(shares, versions)
    return [
        f"{entity.name}: version {versions[entity.name]} of {endpoint.model}, "
        f"{effective[entity.name]} % of the traffic"
        if entity.name in versions
        else f"{entity.name}: not served, no version has the alias {entity.alias}"
        for entity in endpoint.served_entities
    ]


def server_lines(server: ServerOptions, token: str | None) -> list[str]:
    """Describe the versions that the server on this machine answers with, and its errors."""
    try:
        answer = request(server, "GET", "/version", token, timeout=_TIMEOUT_SECONDS)
        body: dict[str, Any] = answer.json()
    except (requests.RequestException, ValueError):
        return [f"No server answers at {server.url}: kedro serve starts one."]
    if not answer.ok:
        return [f"The server at {server.url} says: {body.get('message', answer.status_code)}"]
    versions = [f"{one['name']} {one['entity_version']}" for one in body["served_entities"]]
    lines = [f"The server at {server.url} answers with {', '.join(versions)}."]
    return lines + ([body["faults"]] if body["faults"] else [])


def request(
    server: ServerOptions,
    method: str,
    path: str,
    token: str | None,
    **options: Any,  # noqa: ANN401 - those of requests
) -> requests.Response:
    """Send a request to the server on this machine, bypassing any proxy."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return session.request(method, server.url + path, headers=headers, **options)
