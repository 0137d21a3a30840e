"""The versions that a worker answers with, as `deployment.json` has them."""

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from marvel_kedro.serving.configuration import Description, effective_traffic
from marvel_kedro.serving.http.access_log import AccessLog, now
from marvel_kedro.serving.http.errors import RequestError
from marvel_kedro.serving.models import loaded_model
from marvel_kedro.serving.models.deployment import Deployed, Deployment, stamp
from marvel_kedro.serving.models.loaded_model import ServedModel
from marvel_kedro.serving.models.routing import Router
from marvel_kedro.serving.telemetry import metrics

LOOK_SECONDS = 0.2
_PATIENCE = 30.0  # seconds, after which what could not be loaded is tried again


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
    """Loads what is to be served; what cannot be loaded leaves the version before in its place.

    Attributes:
        deployment: What is to be served, as far as it was read.
        faults: By served entity, why it is not what it is to be.
    """

    def __init__(self, description: Description, log: AccessLog) -> None:
        self.deployment: Deployment | None = None
        self.faults: dict[str, str] = {}
        self._endpoint = description.endpoint
        self._folder = description.server.models
        self._log = log
        self._served: dict[str, Served] = {}
        self._router = Router(self._endpoint.name, (), ())
        self._seen: object = None
        self._try_again = 0.0

    @property
    def ready(self) -> bool:
        """Whether a request would be answered."""
        return self._router.choose(None) is not None

    @property
    def served(self) -> list[Served]:
        """Who can answer."""
        return list(self._served.values())

    def choose(self, client_request_id: str | None) -> Served:
        """Choose who answers a request.

        Raises:
            RequestError: 503; nobody can.
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

    @property
    def traffic(self) -> dict[str, int]:
        """Percentages by served entity, as requests are shared out; 0 for who cannot answer."""
        shares = zip(self._served, self._router.shares, strict=True)
        return {entity.name: 0 for entity in self._endpoint.served_entities} | dict(shares)

    def why_not(self) -> str:
        """What keeps the endpoint from being what the description says; empty if nothing does."""
        return " ".join(f"{name}: {fault}" for name, fault in self._all_faults().items())

    def _all_faults(self) -> dict[str, str]:
        return (self.deployment.faults if self.deployment else {}) | self.faults

    async def follow(self) -> None:
        """Load what is deployed whenever that changes; without an end."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - it goes on, whatever the disk says
                self._seen = None
                self._log.line(time=now(), level="error", fault=repr(error)[:1000])

    async def look(self) -> None:
        """Load what is deployed if that has changed, or could not be loaded a while ago."""
        found, now = stamp(self._folder), time.monotonic()
        if found != self._seen or (self.faults and now > self._try_again):
            self._seen = found
            await self._take(Deployment.read(self._folder))
            self._try_again = time.monotonic() + _PATIENCE

    async def _take(self, deployment: Deployment | None) -> None:
        if deployment is None or deployment.endpoint != self._endpoint.name:
            return
        self.deployment = deployment
        served: dict[str, Served] = {}
        for entity in deployment.entities:
            if entity.model != self._endpoint.model:  # of another description, until it is replaced
                continue
            one = await self._load(entity)
            if one is not None:
                served[one.name] = one
        wanted = {entity.name for entity in deployment.entities}
        self.faults = {name: fault for name, fault in self.faults.items() if name in wanted}
        before, self._served = self._served, served
        self._router = Router(
            self._endpoint.name,
            tuple(served),
            tuple(effective_traffic(deployment.traffic, list(served)).values()),
        )
        self._count(before)

    def _count(self, before: dict[str, Served]) -> None:
        """Tell what this process answers with, whatever it was told to."""
        now = {(one.name, one.model, one.version) for one in self._served.values()}
        for one in before.values():
            if (one.name, one.model, one.version) not in now:
                metrics.SERVED.labels(one.name, one.model, one.version).set(0)
        for labels in now:
            metrics.SERVED.labels(*labels).set(1)
        for name, share in self.traffic.items():
            metrics.TRAFFIC.labels(name).set(share)
        metrics.DEPLOYMENT_FAULTS.set(len(self._all_faults()))
        metrics.READY.set(self.ready)

    async def _load(self, entity: Deployed) -> Served | None:
        """The entity as it is to be; else as it was; None if there is neither."""
        before = self._served.get(entity.name)
        identity = entity.id(self._endpoint.name)
        # In a registry that was made anew the same version is another model, in another folder.
        if before is not None and (before.id, before.folder) == (identity, entity.folder):
            self.faults.pop(entity.name, None)
            return before
        try:
            loaded = await asyncio.to_thread(_load_whole, self._folder / entity.folder)
        except Exception as error:  # noqa: BLE001 - the code that a version carries may raise any
            said = f"version {entity.version} cannot be loaded ({type(error).__name__}: {error})"
            if before is not None:
                said += f"; version {before.version} goes on"
            self.faults[entity.name] = f"{said}."
            metrics.LOAD_FAILURES.labels(entity.name).inc()
            self._log.line(time=now(), level="error", served_entity=entity.name, fault=said)
            return before
        self.faults.pop(entity.name, None)
        self._log.line(
            time=now(), level="info", served_entity=entity.name, model_version=entity.version,
            message="loaded",
        )  # fmt: skip
        return Served(entity.name, entity.model, entity.version, identity, entity.folder, loaded)


def _load_whole(folder: Path) -> ServedModel:
    """Load a version if it is whole: a damaged one may end the process, again and again."""
    loaded_model.check_copy(folder)
    return loaded_model.load(folder)
