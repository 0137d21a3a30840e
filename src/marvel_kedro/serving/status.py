"""The endpoint's status: what the registry serves, what a server answers, a smoke test."""

import os
from typing import Any

import requests

from marvel_kedro.core.errors import ProjectError, shortened
from marvel_kedro.model import registry, request_example
from marvel_kedro.serving import traffic_shift
from marvel_kedro.serving.configuration import EndpointOptions, ServerOptions
from marvel_kedro.serving.http.auth import token_pairs
from marvel_kedro.serving.models.served_versions import served_versions
from marvel_kedro.serving.traffic_split import redistribute

_STATUS_SECONDS = 5.0
_SMOKE_SECONDS = 60.0


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
        answer = _request(server, "/version", token, _STATUS_SECONDS)
        body: dict[str, Any] = answer.json()
    except (requests.RequestException, ValueError):
        return [f"No server answers at {server.url}: kedro serve starts one."]
    if not answer.ok:
        return [f"The server at {server.url} says: {body.get('message', answer.status_code)}"]
    versions = [f"{one['name']} {one['entity_version']}" for one in body["served_entities"]]
    lines = [f"The server at {server.url} answers with {', '.join(versions)}."]
    return lines + ([body["faults"]] if body["faults"] else [])


def check_versions(endpoint: EndpointOptions) -> list[str]:
    """Load the versions that the endpoint serves, and describe them like `served_lines`.

    Raises:
        ProjectError: A version does not exist or cannot be loaded.
    """
    for name, version in served_versions(endpoint).items():
        registry.load(endpoint.model, version, f"is the served entity '{name}'")
    return served_lines(endpoint)


def smoke(endpoint: EndpointOptions, server: ServerOptions) -> str:
    """Send the example of a served version to the server on this machine; describe the answer.

    Raises:
        ProjectError: No server runs, or it rejects the request; the message has the remedy.
    """
    # The server reads the same variables; any of its tokens will do.
    token = next(iter(token_pairs(os.environ).values()), None)
    path = f"/serving-endpoints/{endpoint.name}/invocations"
    version = next(iter(served_versions(endpoint).values()))
    body = request_example.of_version(endpoint.model, version)
    if body is None:
        return f"Version {version} of {endpoint.model} has no example that could be sent to it."
    try:
        answer = _request(server, path, token, _SMOKE_SECONDS, body)
    except requests.RequestException as error:
        raise ProjectError(
            f"Nothing answers at {server.url} (server.host, server.port): {type(error).__name__}. "
            "Start the server: kedro serve."
        ) from error
    if answer.status_code == requests.codes.unauthorized:
        raise ProjectError(
            f"The server at {server.url} requires a token. Set MARVEL_TOKENS or MARVEL_TOKENS_FILE "
            "as it is set for the server."
        )
    text = shortened(answer.text)
    if not answer.ok:
        raise ProjectError(
            f"The server at {server.url} answers the smoke request to '{endpoint.name}' with "
            f"status {answer.status_code}: {text}\nSee its log. If it was started with another "
            "configuration, start it again: kedro serve."
        )
    entity = answer.headers.get("served-model-name", "an unnamed entity")
    return f"{server.url} answers, by {entity}: {text}"


def _request(
    server: ServerOptions, path: str, token: str | None, seconds: float, body: object = None
) -> requests.Response:
    """Send a request to the server on this machine, a POST if it has a body; bypass any proxy."""
    with requests.Session() as session:
        session.trust_env = False
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        method = "POST" if body else "GET"
        url = server.url + path
        return session.request(method, url, headers=headers, json=body, timeout=seconds)
