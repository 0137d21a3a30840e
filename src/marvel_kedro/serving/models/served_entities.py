"""The served entities of a worker: the loaded versions of the published deployment."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http.access_log import AccessLog
from marvel_kedro.serving.http.errors import RequestError
from marvel_kedro.serving.models import loaded_model
from marvel_kedro.serving.models.deployment import Deployed, Deployment, stamp
from marvel_kedro.serving.models.loaded_model import ServedModel
from marvel_kedro.serving.models.model_copies import check_copy
from marvel_kedro.serving.telemetry import metrics
from marvel_kedro.serving.traffic_split import Router, redistribute

LOOK_SECONDS = 0.2
_RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class Served:
    """A served entity that can answer; `folder` is where it was loaded from."""

    name: str
    model: str
    version: str
    id: str
    folder: str
    loaded: ServedModel


class Entities:
    """Loads the published versions; if one cannot be loaded, its previous version is kept.

    Attributes:
        faults: By served entity, why it is not the published version.
        has_foreign: Whether this project has not made one of the models.
    """

    def __init__(self, configuration: ServingConfiguration, log: AccessLog) -> None:
        self.faults: dict[str, str] = {}
        self.has_foreign = False
        self._deployment: Deployment | None = None
        self._endpoint = configuration.endpoint
        self._folder = configuration.server.models
        self._log = log
        self._served: dict[str, Served] = {}
        self._router = Router(self._endpoint.name, (), ())
        self._stamp: object = None
        self._retry_at = 0.0

    @property
    def ready(self) -> bool:
        """True if a request can be answered."""
        return self._router.choose(None) is not None

    @property
    def served(self) -> list[Served]:
        """The entities that can answer."""
        return list(self._served.values())

    @property
    def traffic(self) -> dict[str, int]:
        """Percentages by served entity as requests are routed; 0 if it cannot answer."""
        shares = zip(self._served, self._router.shares, strict=True)
        return dict.fromkeys(self._endpoint.entity_names, 0) | dict(shares)

    def choose(self, client_request_id: str | None) -> Served:
        """Choose the entity that answers a request.

        Raises:
            RequestError: 503; none can answer.
        """
        name = self._router.choose(client_request_id)
        if name is None:
            raise RequestError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "TEMPORARILY_UNAVAILABLE",
                f"No model is loaded. {self.why_not()}".strip(),
                ((b"retry-after", b"1"),),
            )
        return self._served[name]

    def why_not(self) -> str:
        """Describe how the endpoint differs from its configuration; empty if it does not."""
        return " ".join(f"{name}: {fault}" for name, fault in self._all_faults().items())

    def _all_faults(self) -> dict[str, str]:
        return (self._deployment.faults if self._deployment else {}) | self.faults

    async def follow(self) -> None:
        """Load each new deployment until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the loop must survive any error of the disk
                self._stamp = None
                self._log.line(time=datetime.now(UTC), level="error", fault=repr(error)[:1000])

    async def look(self) -> None:
        """Load the deployment if it has changed, or if a failed load is due to be retried."""
        found = stamp(self._folder)
        if found != self._stamp or (self.faults and time.monotonic() > self._retry_at):
            self._stamp = found
            await self._apply(Deployment.read(self._folder))
            self._retry_at = time.monotonic() + _RETRY_SECONDS

    async def _apply(self, deployment: Deployment | None) -> None:
        if deployment is None or deployment.endpoint != self._endpoint.name:
            return
        self._deployment = deployment
        served: dict[str, Served] = {}
        for entity in deployment.entities:
            # Versions of another model are left from an earlier configuration.
            if entity.model == self._endpoint.model and (loaded := await self._load(entity)):
                served[entity.name] = loaded
        published = {entity.name for entity in deployment.entities}
        self.faults = {name: fault for name, fault in self.faults.items() if name in published}
        previous, self._served = self._served, served
        self.has_foreign = not all(one.loaded.is_own for one in served.values())
        shares = redistribute(deployment.traffic, served)
        self._router = Router(self._endpoint.name, tuple(served), tuple(shares.values()))
        self._set_metrics(previous)

    def _set_metrics(self, previous: dict[str, Served]) -> None:
        """Export what this process answers with, whether or not it is the published version."""
        before = {(one.name, one.model, one.version) for one in previous.values()}
        served = {(one.name, one.model, one.version) for one in self._served.values()}
        for labels in before | served:
            metrics.SERVED.labels(*labels).set(labels in served)
        for name, share in self.traffic.items():
            metrics.TRAFFIC.labels(name).set(share)
        metrics.DEPLOYMENT_FAULTS.set(len(self._all_faults()))
        metrics.READY.set(self.ready)

    async def _load(self, entity: Deployed) -> Served | None:
        """Load the published version; else return the previous one, None if there is none."""
        previous = self._served.get(entity.name)
        identity = entity.id(self._endpoint.name)
        # In a registry that was created again the same version is another model and folder.
        if previous is not None and (previous.id, previous.folder) == (identity, entity.folder):
            self.faults.pop(entity.name, None)
            return previous
        try:
            loaded = await asyncio.to_thread(_load_intact, self._folder / entity.folder)
        except Exception as error:  # noqa: BLE001 - a version's own code may raise any error
            fault = f"version {entity.version} cannot be loaded ({type(error).__name__}: {error})"
            if previous is not None:
                fault += f"; version {previous.version} stays in service"
            self.faults[entity.name] = f"{fault}."
            metrics.LOAD_FAILURES.labels(entity.name).inc()
            self._log.line(
                time=datetime.now(UTC), level="error", served_entity=entity.name, fault=fault
            )
            return previous
        self.faults.pop(entity.name, None)
        self._log.line(
            time=datetime.now(UTC), level="info", served_entity=entity.name,
            model_version=entity.version, message="loaded",
        )  # fmt: skip
        return Served(entity.name, entity.model, entity.version, identity, entity.folder, loaded)


def _load_intact(folder: Path) -> ServedModel:
    """Load a version if it is intact: a damaged one may end the process, again and again."""
    check_copy(folder)
    return loaded_model.load(folder)
