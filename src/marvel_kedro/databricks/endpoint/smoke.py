"""The smoke test of a workspace's endpoint: the example record, sent to every served entity."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import TooManyRequests
from databricks.sdk.service import serving as sdk

from marvel_kedro.core.errors import remote_failure
from marvel_kedro.databricks import workspace
from marvel_kedro.databricks.endpoint.errors import UnhealthyError, UnverifiedError, explained
from marvel_kedro.monitoring.inference_log.parsing import SMOKE_REQUEST

logger = logging.getLogger(__name__)

_RETRY_SECONDS = 600.0  # after which no request is repeated that did not reach the endpoint
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 5.0, 60.0

# The request did not reach the endpoint or its answer was lost, which says nothing about it. A
# request that was accepted and not answered (`requests.ReadTimeout`) is not among these.
_UNREACHABLE = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, TooManyRequests)


def smoke(client: WorkspaceClient, name: str, entities: Sequence[str]) -> None:
    """Send the example to the endpoint, and to each served entity whatever its share is.

    Raises:
        UnhealthyError: One rejects it, does not answer, or answers without a prediction.
        UnverifiedError: One could not be reached for some minutes.
        ProjectError: The token was rejected.
    """
    from marvel_kedro.model.packaging import EXAMPLE  # noqa: PLC0415 - imports MLflow

    body = sdk.DataframeSplitInput(**EXAMPLE.to_dict(orient="split", index=False))

    def query_endpoint() -> object:
        return client.serving_endpoints.query(
            name, client_request_id=SMOKE_REQUEST, dataframe_split=body
        ).predictions

    def query_entity(entity: str) -> object:
        return client.api_client.do(
            "POST",
            f"/serving-endpoints/{name}/served-models/{entity}/invocations",
            body={"dataframe_split": body.as_dict(), "client_request_id": SMOKE_REQUEST},
        ).get("predictions")

    end = time.monotonic() + _RETRY_SECONDS
    queries: dict[str, Callable[[], object]] = {name: query_endpoint}
    queries |= {f"{name}/{entity}": partial(query_entity, entity) for entity in entities}
    for target, query in queries.items():
        predictions = _answer(name, target, query, end)
        if not isinstance(predictions, list) or len(predictions) != len(EXAMPLE):
            raise UnhealthyError(
                f"The endpoint '{name}' answers the smoke request ({target}) without a prediction."
            )
    logger.info("The endpoint '%s' answers, and so does %s.", name, ", ".join(entities))


def _answer(name: str, target: str, query: Callable[[], object], end: float) -> object:
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
