"""The smoke test of the server on this machine: its versions load and it answers a request."""

import os

import requests

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import registry
from marvel_kedro.model.packaging import EXAMPLE
from marvel_kedro.serving import status
from marvel_kedro.serving.configuration import EndpointOptions, ServerOptions
from marvel_kedro.serving.http.auth import token_pairs
from marvel_kedro.serving.models.served_versions import served_versions

_TIMEOUT_SECONDS = 60.0
_QUOTED_CHARACTERS = 300


def check_versions(endpoint: EndpointOptions) -> list[str]:
    """Load the versions that the endpoint serves.

    Returns:
        A line per served entity.

    Raises:
        ProjectError: A version does not exist or cannot be loaded.
    """
    for name, version in served_versions(endpoint).items():
        registry.load(endpoint.model, version, f"is the served entity '{name}'")
    return status.served_lines(endpoint)


def smoke(endpoint: EndpointOptions, server: ServerOptions) -> str:
    """Send the example record to the server on this machine.

    Returns:
        A line with its answer and the served entity that gave it.

    Raises:
        ProjectError: No server runs, or it rejects the request; the message has the remedy.
    """
    # The server reads the same variables; any of its tokens will do.
    token = next(iter(token_pairs(os.environ).values()), None)
    try:
        answer = status.request(
            server,
            "POST",
            f"/serving-endpoints/{endpoint.name}/invocations",
            token,
            json={"dataframe_split": EXAMPLE.to_dict(orient="split", index=False)},
            timeout=_TIMEOUT_SECONDS,
        )
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
    text = " ".join(answer.text.split())[:_QUOTED_CHARACTERS]
    if not answer.ok:
        raise ProjectError(
            f"The server at {server.url} answers the smoke request to '{endpoint.name}' with "
            f"status {answer.status_code}: {text}\nSee its log. If it was started with another "
            "configuration, start it again: kedro serve."
        )
    entity = answer.headers.get("served-model-name", "an unnamed entity")
    return f"{server.url} answers, by {entity}: {text}"
