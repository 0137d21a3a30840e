"""The smoke request: the model's example, sent to all that is served."""

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import TooManyRequests
from databricks.sdk.service.serving import DataframeSplitInput

from marvel_kedro.core.errors import remote_failure
from marvel_kedro.databricks import workspace
from marvel_kedro.databricks.endpoint.errors import UnfitError, UntriedError, asking
from marvel_kedro.monitoring.inference_log.parsing import SMOKE_REQUEST

logger = logging.getLogger(__name__)

SMOKE_SECONDS = 600.0
"""For how long a smoke request begins anew that did not reach the endpoint."""

_FIRST_SECONDS, _MOST_SECONDS = 5.0, 60.0
"""Between two tries."""

# The endpoint has not taken the request, or its answer was lost: that says nothing about it. One
# that took it and kept silent (`requests.ReadTimeout`) is none of these.
_OUT_OF_REACH = (
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    TooManyRequests,
)


def smoke(client: WorkspaceClient, name: str, entities: Sequence[str]) -> None:
    """Send the example to the endpoint, and to each served entity whatever its traffic is.

    Raises:
        UnfitError: One refuses it, keeps silent, or answers without a prediction.
        UntriedError: One could not be reached for a while.
        ProjectError: The token was not taken.
    """
    from marvel_kedro.model.packaging import EXAMPLE  # noqa: PLC0415 - imports MLflow

    record = EXAMPLE.to_dict(orient="split", index=False)
    sent = DataframeSplitInput(columns=record["columns"], data=record["data"])

    def of_endpoint() -> object:
        return client.serving_endpoints.query(
            name, client_request_id=SMOKE_REQUEST, dataframe_split=sent
        ).predictions

    def of_entity(entity: str) -> object:
        return client.api_client.do(
            "POST",
            f"/serving-endpoints/{name}/served-models/{entity}/invocations",
            body={"dataframe_split": sent.as_dict(), "client_request_id": SMOKE_REQUEST},
        ).get("predictions")

    end = time.monotonic() + SMOKE_SECONDS
    asked: dict[str, Callable[[], object]] = {name: of_endpoint}
    asked |= {f"{name}/{entity}": partial(of_entity, entity) for entity in entities}
    for who, ask in asked.items():
        predictions = _answer(name, who, ask, end)
        if not isinstance(predictions, list) or len(predictions) != len(record["data"]):
            raise UnfitError(
                f"The endpoint '{name}' answers the smoke request ({who}) without a prediction."
            )
    logger.info("The endpoint '%s' answers, and so does %s.", name, ", ".join(entities))


def _answer(name: str, who: str, ask: Callable[[], object], end: float) -> object:
    """Ask until somebody answers, with a refusal even; after `end` no try begins."""
    wait = _FIRST_SECONDS
    while True:
        try:
            return ask()
        except workspace.FAULTS as error:
            # Where the SDK has tried for minutes, the cause is what its last try met.
            fault = (error.__cause__ if isinstance(error, TimeoutError) else None) or error
            said = workspace.said(fault)
            if remote_failure(error) == "token":
                with asking(name, "asked for a prediction"):
                    raise
            if not isinstance(fault, _OUT_OF_REACH):
                raise UnfitError(
                    f"The endpoint '{name}' does not answer the smoke request ({who}): {said}"
                ) from error
            if time.monotonic() >= end:
                raise UntriedError(
                    f"The endpoint '{name}' could not be tried ({who}): {said}"
                ) from error
        logger.warning("%s cannot be asked (%s): again in %d seconds.", who, said, wait)
        time.sleep(wait)
        wait = min(2 * wait, _MOST_SECONDS)
