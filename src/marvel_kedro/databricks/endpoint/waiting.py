"""Waiting for an endpoint: for the end of an update, and until it takes requests."""

import logging
import time
from contextlib import AbstractContextManager
from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound, OperationFailed
from databricks.sdk.service.serving import (
    EndpointStateConfigUpdate,
    EndpointStateReady,
    ServingEndpointDetailed,
)

from marvel_kedro.core.errors import ProjectError, without_password
from marvel_kedro.databricks import workspace
from marvel_kedro.databricks.endpoint.errors import AGAIN, UnfitError, asking
from marvel_kedro.databricks.endpoint.served_entities import served_entities

logger = logging.getLogger(__name__)

WAIT = timedelta(minutes=20)
"""How long an update may take."""

_READY_SECONDS = 5.0
_TELL_SECONDS = 30.0


def find(client: WorkspaceClient, name: str) -> ServingEndpointDetailed | None:
    """The endpoint as it is now, or None."""
    with asking(name, "looked at"):
        try:
            return client.serving_endpoints.get(name)
        except NotFound:
            return None


def settled(
    client: WorkspaceClient, name: str, timeout: timedelta
) -> ServingEndpointDetailed | None:
    """The endpoint after the end of an update that is under way, or None."""
    found = find(client, name)
    if not (
        found and found.state and found.state.config_update is EndpointStateConfigUpdate.IN_PROGRESS
    ):
        return found
    logger.info("The endpoint '%s' is being updated already: waiting for the end of that.", name)
    try:
        return _wait_for_update(client, name, timeout, _Watch(name))
    except UnfitError as fault:
        logger.warning("%s", fault)
        return find(client, name)


def wait(client: WorkspaceClient, name: str, timeout: timedelta) -> None:
    """Wait for the end of an update, and for the endpoint to take requests.

    The SDK's waiter does not look at `state.ready`.

    Raises:
        UnfitError: The update failed, or the endpoint does not get ready in time.
        ProjectError: The update is not over in time, or cannot be watched any more.
    """
    end = time.monotonic() + timeout.total_seconds()
    watch = _Watch(name)
    found = _wait_for_update(client, name, timeout, watch)
    while not (found.state and found.state.ready is EndpointStateReady.READY):
        watch(found)
        if time.monotonic() >= end:
            raise UnfitError(
                f"The endpoint '{name}' is not ready after {timeout}. {watch.said}".strip()
            )
        time.sleep(_READY_SECONDS)
        with _watching(name):
            found = client.serving_endpoints.get(name)


def _wait_for_update(
    client: WorkspaceClient, name: str, timeout: timedelta, watch: "_Watch"
) -> ServingEndpointDetailed:
    with _watching(name):
        try:
            return client.serving_endpoints.wait_get_serving_endpoint_not_updating(
                name, timeout, watch
            )
        except OperationFailed as error:
            raise UnfitError(
                f"The update of the endpoint '{name}' failed. {watch.said}".strip()
            ) from error
        except TimeoutError as error:
            raise ProjectError(
                f"The update of the endpoint '{name}' is not over after {timeout}. {watch.said} It "
                "goes on in the workspace; what served before serves until then. Look at the "
                f"endpoint's logs, or {AGAIN}"
            ) from error


def _watching(name: str) -> AbstractContextManager[None]:
    return asking(name, "watched any longer; its update goes on without that")


class _Watch:
    """Tells how an update goes: when something new is said, and every half a minute."""

    def __init__(self, name: str) -> None:
        self.said = ""
        self._name = name
        self._started = self._told = time.monotonic()

    def __call__(self, found: ServingEndpointDetailed) -> None:
        said = _deployment_words(found)
        now = time.monotonic()
        if said != self.said or now - self._told >= _TELL_SECONDS:
            self.said, self._told = said, now
            seconds = int(now - self._started)
            logger.info("%4d s  %s: %s", seconds, self._name, said or "updating ..")


def _deployment_words(found: ServingEndpointDetailed) -> str:
    """What the platform says of the served entities that are not up."""
    entities = served_entities(found.pending_config) or served_entities(found.config)
    said = [
        f"{entity.name} version {entity.entity_version}: {entity.state.deployment_state_message}"
        for entity in entities
        if entity.state and entity.state.deployment_state_message
    ]
    return workspace.shortened(without_password("; ".join(said)))
