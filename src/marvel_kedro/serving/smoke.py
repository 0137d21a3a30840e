"""What `kedro serve` is to serve, and whether it does."""

import os

import requests

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import registry
from marvel_kedro.model.packaging import EXAMPLE
from marvel_kedro.serving.configuration import EndpointOptions, ServerOptions
from marvel_kedro.serving.http.auth import token_pairs
from marvel_kedro.serving.models.served_versions import served_versions
from marvel_kedro.serving.traffic_split import lines

_SECONDS = 60.0
_MOST_OF_AN_ANSWER = 300


def check_versions(endpoint: EndpointOptions) -> list[str]:
    """Load the versions that the endpoint serves.

    Returns:
        A sentence a served entity.

    Raises:
        ProjectError: A version is not there or cannot be loaded.
    """
    for name, version in served_versions(endpoint).items():
        registry.load(endpoint.model, version, f"is the served entity '{name}'")
    return lines(endpoint)


def smoke(endpoint: EndpointOptions, server: ServerOptions) -> str:
    """Send the example to the server on this machine.

    Returns:
        What it answered, and which served entity did.

    Raises:
        ProjectError: No server runs, or it refuses; the message says what to do.
    """
    address = server.url
    with requests.Session() as session:
        session.trust_env = False  # no proxy between this machine and itself
        try:
            answer = session.post(
                f"{address}/serving-endpoints/{endpoint.name}/invocations",
                json={"dataframe_split": EXAMPLE.to_dict(orient="split", index=False)},
                headers=_authorization(),
                timeout=_SECONDS,
            )
        except requests.RequestException as error:
            raise ProjectError(
                f"Nothing answers at {address} (server.host, server.port): {type(error).__name__}. "
                "Start the server: kedro serve."
            ) from error
    if answer.status_code == requests.codes.unauthorized:
        raise ProjectError(
            f"The server at {address} wants a token. Set MARVEL_TOKENS or MARVEL_TOKENS_FILE as it "
            "is set for the server."
        )
    if not answer.ok:
        said = " ".join(answer.text.split())[:_MOST_OF_AN_ANSWER]
        raise ProjectError(
            f"The server at {address} answers the smoke request to '{endpoint.name}' with status "
            f"{answer.status_code}: {said}\nIts log says more. If it was started with another "
            "description, start it again: kedro serve."
        )
    by = answer.headers.get("served-model-name", "nobody that says so")
    said = " ".join(answer.text.split())[:_MOST_OF_AN_ANSWER]
    return f"{address} answers, by {by}: {said}"


def _authorization() -> dict[str, str]:
    """The first of the tokens that the server knows from the same variables."""
    token = next(iter(token_pairs(os.environ).values()), "")
    return {"Authorization": f"Bearer {token}"} if token else {}
