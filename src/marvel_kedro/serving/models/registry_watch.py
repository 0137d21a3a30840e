"""The registry watch: poll the registry, fetch new versions, and publish them to the workers."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marvel_kedro.core.errors import remote_failure, shortened, without_password
from marvel_kedro.model.aliases import NO_VERSION, find_version
from marvel_kedro.serving.configuration import ServedEntity, ServingConfiguration
from marvel_kedro.serving.models.deployment import Deployed, Deployment
from marvel_kedro.serving.models.model_copies import ModelCopies

logger = logging.getLogger(__name__)


class Registry:
    """Looks up, fetches and publishes the served versions, in the folder of `deployment.json`."""

    def __init__(self, configuration: ServingConfiguration, folder: Path) -> None:
        self._endpoint = configuration.endpoint
        self._folder = folder
        self._copies = ModelCopies(folder)
        self._published = Deployment.read(folder)
        self.answered: float | None = None  # seconds since 1970, of the registry's last answer

    def refresh(self) -> Deployment:
        """Query the registry, fetch new versions, and publish what has changed.

        If the registry or a version is unavailable, the published one stays in service and
        `faults` has the reason.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        published = self._published
        faults: dict[str, str] = {}
        traffic = published.traffic if published else dict(self._endpoint.traffic)
        away = None
        try:
            tags = model_tags(self._endpoint.model) or {}
            traffic = self._endpoint.current_traffic(tags)
        except Exception as error:  # noqa: BLE001 - any client error
            faults["traffic"] = _sentence(error)
            # It would not answer the other queries either, and each one waits for its timeout.
            away = faults["traffic"] if remote_failure(error) == "busy" else None
        entities = self._entities(published, faults, away)
        if away is None:
            self.answered = time.time()
        deployment = Deployment(
            endpoint=self._endpoint.name, entities=tuple(entities), traffic=traffic, faults=faults
        )
        if deployment != published or self._copies.replaced:  # a new file makes workers look again
            deployment.write(self._folder)
            self._published, self._copies.replaced = deployment, False
            self._copies.remove_old({entity.folder for entity in entities})
        return deployment

    def _entities(
        self, published: Deployment | None, faults: dict[str, str], away: str | None
    ) -> list[Deployed]:
        # The published versions of this configuration; another one may have left others.
        current = {
            entity.name: entity
            for entity in (published.entities if published else ())
            if entity.model == self._endpoint.model and entity.name in self._endpoint.entity_names
        }
        entities: list[Deployed] = []
        for entity in self._endpoint.served_entities:
            served = current.get(entity.name)
            found, fault = served, away
            if away is None:
                try:
                    found = self._fetched(entity, is_update=served is not None)
                except Exception as error:  # noqa: BLE001 - any client error
                    fault = _sentence(error)
            if fault is not None:
                faults[entity.name] = fault + (self._fallback(served) if served else "")
            if found is not None:
                entities.append(found)
        if entities:
            return entities
        reason = f"no version of the model {self._endpoint.model} has an alias that is served"
        if current:  # an empty registry is taken for a broken one
            faults["registry"] = f"{reason} and can be used. The versions served so far stay."
        elif not faults:
            faults["registry"] = (
                f"{reason}. Train one: make run. Until then all requests are answered with 503."
            )
        return list(current.values())

    def _fetched(self, entity: ServedEntity, *, is_update: bool) -> Deployed | None:
        """Return the version of an entity, fetched; None if its alias points to none."""
        model = self._endpoint.model
        version = find_version(model, alias=entity.alias, number=entity.version)
        if version is None and entity.alias is None:
            raise LookupError(f"version {entity.version} of the model {model} does not exist")
        if version is None:
            return None
        # A registry that was created again reuses the numbers of versions.
        folder = f"{version.version}-{version.creation_timestamp}"
        fetched = Deployed(
            name=entity.name, model=model, version=str(version.version), folder=folder
        )
        self._copies.ensure(fetched, is_update=is_update)
        return fetched

    def _fallback(self, served: Deployed) -> str:
        if self._copies.is_intact(served.folder):
            return f" Version {served.version} stays in service."
        damaged = f" The copy of version {served.version} on this disk is damaged"
        return f"{damaged}: it stays in service only where it is loaded."


def model_tags(model: str) -> dict[str, str] | None:
    """Return the tags of a registered model; None if it does not exist."""
    from mlflow import MlflowClient  # noqa: PLC0415 - slow to import
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        return dict(MlflowClient().get_registered_model(model).tags)
    except MlflowException as error:
        if error.error_code in NO_VERSION:
            return None
        raise


def _sentence(error: Exception) -> str:
    text = without_password(str(error)).strip().partition("\n")[0] or type(error).__name__
    return shortened(text).rstrip(".") + "."


def watch(
    registry: Registry,
    seconds: float,
    stop: threading.Event,
    on_refresh: Callable[[Deployment], Any],
) -> None:
    """Refresh at an interval until stopped, pass on the deployment, log faults when they change."""
    logged: dict[str, str] = {}
    while not stop.is_set():
        try:
            deployment = registry.refresh()
        except Exception as error:  # noqa: BLE001 - mostly of the disk
            if logged != {"": str(error)}:
                logged = {"": str(error)}
                logger.error("The deployment cannot be written: %s", error)  # noqa: TRY400
        else:
            if deployment.faults != logged:
                logged = deployment.faults
                for name, fault in logged.items():
                    logger.warning("%s: %s", name, fault)
            on_refresh(deployment)
        stop.wait(seconds)
