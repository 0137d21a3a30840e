"""An update of what an endpoint serves: apply, wait, smoke-test, and roll back if it fails."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import NoReturn

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, OperationFailed
from databricks.sdk.service import serving as sdk

from marvel_kedro.core.errors import ProjectError, shortened, without_password
from marvel_kedro.databricks.endpoint.errors import (
    AGAIN,
    UnhealthyError,
    UnverifiedError,
    explained,
)
from marvel_kedro.databricks.endpoint.smoke import smoke
from marvel_kedro.databricks.endpoint.spec import (
    as_input,
    format_served,
    routed_shares,
    served_entities,
    traffic_config,
)

logger = logging.getLogger(__name__)

UPDATE_TIMEOUT = timedelta(minutes=20)

_READY_POLL_SECONDS = 5.0
_LOG_SECONDS = 30.0


def find(client: WorkspaceClient, name: str) -> sdk.ServingEndpointDetailed | None:
    """Return the endpoint as it is now; None if there is none."""
    with explained(name, "looked up"):
        try:
            return client.serving_endpoints.get(name)
        except NotFound:
            return None


def find_settled(
    client: WorkspaceClient, name: str, timeout: timedelta
) -> sdk.ServingEndpointDetailed | None:
    """Return the endpoint once no update is in progress; None if there is none."""
    found = find(client, name)
    update = found.state.config_update if found and found.state else None
    if update is not sdk.EndpointStateConfigUpdate.IN_PROGRESS:
        return found
    logger.info("The endpoint '%s' is already being updated: waiting until that has ended.", name)
    try:
        return _wait_for_update(client, name, timeout, _ProgressLog(name))
    except UnhealthyError as error:
        logger.warning("%s", error)
        return find(client, name)


@dataclass(frozen=True)
class Update:
    """A change of what an endpoint serves; the platform takes entities and shares as a whole."""

    client: WorkspaceClient
    name: str
    entities: Sequence[sdk.ServedEntityInput]
    traffic: Mapping[str, int]  # percentages by entity, 100 in all
    previous: sdk.EndpointCoreConfigOutput | None  # what is served now, to roll back to
    timeout: timedelta

    def run(self, *, is_change: bool) -> None:
        """Apply the update, if it changes anything, and verify that the endpoint serves."""
        if is_change:
            self._apply(self.entities, self.traffic, "updated")
            logger.info(
                "The endpoint '%s' is being updated, which may take up to 20 minutes.", self.name
            )
        self.verify(is_change=is_change)

    def verify(self, *, is_change: bool = True) -> None:
        """Wait until the endpoint is ready and smoke-test it; roll a failed change back.

        Raises:
            ProjectError: It does not serve, or was not reached; the message has what serves now.
        """
        try:
            _wait_until_ready(self.client, self.name, self.timeout)
            smoke(self.client, self.name, self.entities)
        except UnverifiedError as error:
            state = "The update stands" if is_change else "Nothing was changed now"
            raise ProjectError(
                f"{error}\n{state}: {format_served(self.entities, self.traffic)}. Nothing was "
                "rolled back. When the endpoint can be reached again, run the same command again: "
                "it changes nothing more and repeats the test."
            ) from error
        except UnhealthyError as error:
            if not is_change:
                raise ProjectError(
                    f"{error}\nNothing of what is served was changed now, so there is nothing to "
                    "roll back. Look at the endpoint's logs; to serve another version, move its "
                    "alias and deploy again."
                ) from error
            self._roll_back(error)

    def _apply(
        self, entities: Sequence[sdk.ServedEntityInput], traffic: Mapping[str, int], action: str
    ) -> None:
        with explained(self.name, action):
            self.client.serving_endpoints.update_config(
                self.name, served_entities=list(entities), traffic_config=traffic_config(traffic)
            )

    def _roll_back(self, error: UnhealthyError) -> NoReturn:
        """Restore what was served before, and raise what went wrong."""
        entities = [as_input(entity) for entity in served_entities(self.previous)]
        shares = routed_shares(self.previous)
        if not entities:
            raise ProjectError(
                f"{error}\nNothing was served before, so there is nothing to roll back to: the "
                "endpoint exists and does not serve. Look at its logs, fix the cause, and deploy "
                "again: that repairs it."
            ) from error
        served = format_served(entities, shares)
        logger.warning("%s Rolling back to %s.", error, served)
        try:
            self._apply(entities, shares, "rolled back")
            _wait_until_ready(self.client, self.name, self.timeout)
        except (ProjectError, UnhealthyError) as second:
            raise ProjectError(
                f"{error}\nRolling back to {served} failed, too: {second}\nLook at the endpoint "
                "now: it is uncertain what it serves."
            ) from error
        raise ProjectError(
            f"{error}\nRolled back: {served} is served again. Look at the endpoint's logs, fix the "
            "cause, and deploy again; or move the alias back, which still points to the failed "
            "version."
        ) from error


def _wait_until_ready(client: WorkspaceClient, name: str, timeout: timedelta) -> None:
    """Wait until an update has ended and the endpoint accepts requests.

    The SDK's waiter does not look at `state.ready`.

    Raises:
        UnhealthyError: The update failed, or the endpoint is not ready in time.
        ProjectError: The update has not ended in time, or cannot be watched any longer.
    """
    end = time.monotonic() + timeout.total_seconds()
    progress = _ProgressLog(name)
    found = _wait_for_update(client, name, timeout, progress)
    while not (found.state and found.state.ready is sdk.EndpointStateReady.READY):
        progress(found)
        if time.monotonic() >= end:
            raise UnhealthyError(
                f"The endpoint '{name}' is not ready after {timeout}. {progress.message}".strip()
            )
        time.sleep(_READY_POLL_SECONDS)
        with _watching(name):
            found = client.serving_endpoints.get(name)


def _wait_for_update(
    client: WorkspaceClient, name: str, timeout: timedelta, progress: "_ProgressLog"
) -> sdk.ServingEndpointDetailed:
    with _watching(name):
        try:
            return client.serving_endpoints.wait_get_serving_endpoint_not_updating(
                name, timeout, progress
            )
        except OperationFailed as error:
            raise UnhealthyError(
                f"The update of the endpoint '{name}' failed. {progress.message}".strip()
            ) from error
        except TimeoutError as error:
            raise ProjectError(
                f"The update of the endpoint '{name}' has not ended after {timeout}. "
                f"{progress.message} It continues in the workspace; the previous versions serve "
                f"until then. Look at the endpoint's logs, or {AGAIN}"
            ) from error


def _watching(name: str) -> AbstractContextManager[None]:
    return explained(name, "watched any longer; its update continues without that")


class _ProgressLog:
    """Logs the progress of an update: each new message, and a line every 30 seconds."""

    def __init__(self, name: str) -> None:
        self.message = ""
        self._name = name
        self._started = self._logged = time.monotonic()

    def __call__(self, found: sdk.ServingEndpointDetailed) -> None:
        message, now = _deployment_messages(found), time.monotonic()
        if message != self.message or now - self._logged >= _LOG_SECONDS:
            self.message, self._logged = message, now
            seconds = int(now - self._started)
            logger.info("%4d s  %s: %s", seconds, self._name, message or "updating ..")


def _deployment_messages(found: sdk.ServingEndpointDetailed) -> str:
    """Return the platform's messages about served entities that are not up."""
    entities = served_entities(found.pending_config) or served_entities(found.config)
    messages = [
        f"{entity.name} version {entity.entity_version}: {entity.state.deployment_state_message}"
        for entity in entities
        if entity.state and entity.state.deployment_state_message
    ]
    return shortened(without_password("; ".join(messages)))
