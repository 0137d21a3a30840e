"""The smoke test of a workspace's endpoint: each served entity gets its version's example."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import TooManyRequests
from databricks.sdk.service import serving as sdk

from marvel_kedro.core.errors import remote_failure
from marvel_kedro.databricks import workspace
from marvel_kedro.databricks.endpoint.errors import UnhealthyError, UnverifiedError, explained
from marvel_kedro.model import request_example
from marvel_kedro.monitoring.inference_log.parsing import SMOKE_REQUEST

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 600.0  # after which no request is repeated that did not reach the endpoint
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0

# The request did not reach the endpoint or its answer was lost, which says nothing about it. A
# request that was accepted and not answered (`requests.ReadTimeout`) is not among these.
_UNREACHABLE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, TooManyRequests)


def smoke(client: WorkspaceClient, name: str, entities: Sequence[sdk.ServedEntityInput]) -> None:
    """Send an example to the endpoint, and to each served entity whatever its share is.

    The example is that of the entity's version. A version without one is not tested.

    Raises:
        UnhealthyError: One rejects it, does not answer, or answers without a prediction.
        UnverifiedError: One could not be reached for some minutes.
        ProjectError: The token was rejected.
    """
    examples = _examples(name, entities)
    if not examples:
        return
    end, path = time.monotonic() + _RETRY_SECONDS, f"/serving-endpoints/{name}"
    targets = [(name, path, next(iter(examples.values())))]
    targets += [
        (f"{name}/{entity}", f"{path}/served-models/{entity}", body)
        for entity, body in examples.items()
    ]
    for target, address, body in targets:
        sent = {**body, "client_request_id": SMOKE_REQUEST}
        answer = _answer(
            name,
            target,
            partial(client.api_client.do, "POST", f"{address}/invocations", body=sent),
            end,
        )
        if not isinstance(answer, dict) or answer.get("predictions") in (None, []):
            raise UnhealthyError(
                f"The endpoint '{name}' answers the smoke request ({target}) without a prediction."
            )
    logger.info("The endpoint '%s' answers, and so does %s.", name, ", ".join(examples))


def _examples(name: str, entities: Sequence[sdk.ServedEntityInput]) -> dict[str, dict[str, Any]]:
    """Return the body to send by entity, without versions that have no example."""
    examples = {}
    for entity in entities:
        try:
            body = request_example.of_version(str(entity.entity_name), str(entity.entity_version))
        except Exception as error:  # of MLflow, the SDK, or a storage's client
            raise UnverifiedError(
                f"The endpoint '{name}' could not be tested: the example of "
                f"{entity.entity_name} version {entity.entity_version} cannot be read: "
                f"{workspace.excerpt(error)}"
            ) from error
        if body is None:
            logger.warning("%s has no example to test it with.", entity.name)
        else:
            examples[str(entity.name)] = body
    return examples


def _answer(name: str, target: str, query: Callable[[], Any], end: float) -> Any:  # noqa: ANN401 - any JSON
    """Repeat a query until it is answered or rejected; after `end` it is not repeated."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            return query()
        except workspace.SDK_ERRORS as error:
            # After minutes of retries the SDK raises TimeoutError from the last error.
            cause = (error.__cause__ if isinstance(error, TimeoutError) else None) or error
            reason = workspace.excerpt(cause)
            if remote_failure(error) == "token":
                with explained(name, "queried for a prediction"):
                    raise
            if not isinstance(cause, _UNREACHABLE):
                raise UnhealthyError(
                    f"The endpoint '{name}' does not answer the smoke request ({target}): {reason}"
                ) from error
            if time.monotonic() >= end:
                raise UnverifiedError(
                    f"The endpoint '{name}' could not be tested ({target}): {reason}"
                ) from error
        logger.warning("%s is unreachable (%s): retry in %d seconds.", target, reason, pause)
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
