"""What the registry says of the served entities, fetched and published for the workers."""

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from marvel_kedro.model.aliases import NO_VERSION, find_version
from marvel_kedro.serving.configuration import (
    Description,
    EndpointOptions,
    ServedEntity,
    check_traffic,
    traffic_tag,
)
from marvel_kedro.serving.models import loaded_model
from marvel_kedro.serving.models.deployment import Deployed, Deployment

logger = logging.getLogger(__name__)


class Registry:
    """Looks up, fetches and publishes.

    Args:
        description: What is to be served.
        folder: Where versions and `deployment.json` go.
    """

    def __init__(self, description: Description, folder: Path) -> None:
        self._endpoint = description.endpoint
        self._folder = folder
        self._published = Deployment.read(folder)
        self._sound: dict[str, object] = {}  # folders, as they were when they were whole
        self._mended = False
        self._broken: dict[str, tuple[float, Exception]] = {}

    def refresh(self) -> Deployment:
        """Ask the registry, fetch what is new, and publish what has changed.

        A registry that cannot be asked and a version that cannot be had leave in place what was
        there, and are said in `faults`.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        before = self._published
        known = {entity.name: entity for entity in self._known(before)}
        faults: dict[str, str] = {}
        entities: list[Deployed] = []
        for entity in self._endpoint.served_entities:
            try:
                found = self._find(entity, known.get(entity.name))
            except Exception as error:  # noqa: BLE001 - clients raise whatever they like
                faults[entity.name] = _said(error)
                found = known.get(entity.name)
                if found is not None:
                    faults[entity.name] += self._goes_on(found)
            if found is not None:
                entities.append(found)
        if not entities:
            none = f"no version of the model {self._endpoint.model} has an alias that is served"
            if known:  # a registry that has lost all is at fault itself
                faults["registry"] = f"{none} and can be used. What was served goes on."
                entities = list(known.values())
            elif not faults:
                faults["registry"] = f"{none}. Train one: make run."
        try:
            traffic = self._traffic()
        except Exception as error:  # noqa: BLE001 - likewise
            faults["traffic"] = _said(error)
            traffic = before.traffic if before else dict(self._endpoint.traffic)
        deployment = Deployment(
            endpoint=self._endpoint.name,
            entities=tuple(entities),
            traffic=traffic,
            faults=faults,
        )
        if deployment != before or self._mended:  # workers look again when it is written again
            deployment.write(self._folder)
            self._published, self._mended = deployment, False
            self._tidy(deployment)
        return deployment

    def _known(self, before: Deployment | None) -> list[Deployed]:
        """What was published and is asked for still; not what another description has left."""
        names = {entity.name for entity in self._endpoint.served_entities}
        return [
            entity
            for entity in (before.entities if before else ())
            if entity.model == self._endpoint.model and entity.name in names
        ]

    def _goes_on(self, known: Deployed) -> str:
        if self._is_sound(known.folder):
            return f" Version {known.version} goes on."
        return (
            f" The copy of version {known.version} on this disk is damaged: it goes on only where "
            "it is loaded."
        )

    def _find(self, entity: ServedEntity, before: Deployed | None) -> Deployed | None:
        """The version of an entity, fetched; None if its alias points nowhere."""
        from mlflow import MlflowClient  # noqa: PLC0415 - slow to import

        model = self._endpoint.model
        if entity.alias is not None:
            version = find_version(model, alias=entity.alias)
            if version is None:
                return None
        else:
            version = MlflowClient().get_model_version(model, str(entity.version))
        # A number may come again, in a registry that was made anew.
        folder = f"{version.version}-{version.creation_timestamp}"
        fetched = Deployed(
            name=entity.name, model=model, version=str(version.version), folder=folder
        )
        if not self._is_sound(folder):
            self._fetch_once_in_a_while(fetched, is_tried=before is not None)
        return fetched

    def _is_sound(self, folder: str) -> bool:
        """Whether a version is on this disk, as it was fetched.

        It is read at the first look, and again only where a file says that it has changed.
        """
        path = self._folder / folder
        try:
            found = [(name, (path / name).stat()) for name in loaded_model.names(path)]
            stamp = [(name, one.st_size, one.st_mtime_ns) for name, one in found]
            if self._sound.get(folder) != stamp:
                loaded_model.check_copy(path)
        except (OSError, ValueError):
            return False
        self._sound[folder] = stamp
        return True

    def _fetch_once_in_a_while(self, wanted: Deployed, *, is_tried: bool) -> None:
        """What cannot be used is not fetched again at every look."""
        until, fault = self._broken.get(wanted.folder, (0.0, None))
        if fault is not None and time.monotonic() < until:
            raise fault
        try:
            self._fetch(wanted, is_tried=is_tried)
        except Exception as error:
            self._broken[wanted.folder] = time.monotonic() + _PATIENCE, error
            raise

    def _fetch(self, wanted: Deployed, *, is_tried: bool) -> None:
        """Fetch the files of a version and see whether they can be used: all or nothing.

        A version that takes the place of another is loaded once, in a process of its own: workers
        that could not load it would go on with the old one only until they are started again. So is
        one without a digest, which may be cut: loading it may end the process.

        A damaged copy is replaced.
        """
        import mlflow  # noqa: PLC0415 - slow to import

        with tempfile.TemporaryDirectory(prefix=_FETCHED, dir=self._folder) as temporary:
            files = mlflow.artifacts.download_artifacts(
                f"models:/{wanted.model}/{wanted.version}", dst_path=temporary
            )
            try:
                has_digest = loaded_model.check(Path(files))
                if is_tried or not has_digest:
                    _try(Path(files))
            except Exception as error:
                said = str(error).replace(temporary, "").partition("\n")[0]
                raise RuntimeError(f"version {wanted.version} cannot be used: {said}") from error
            whole, place = Path(temporary) / "whole", self._folder / wanted.folder
            shutil.copytree(files, whole)
            loaded_model.seal(whole)
            _force_to_disk(whole)
            if place.exists():
                logger.warning("The damaged copy %s is replaced.", place)
                place.rename(Path(temporary) / "damaged")
                self._mended = True
            whole.rename(place)
            _force(self._folder)

    def _traffic(self) -> dict[str, int]:
        """The description's traffic, or what a tag of the registered model says instead."""
        from mlflow import MlflowClient  # noqa: PLC0415 - slow to import
        from mlflow.exceptions import MlflowException  # noqa: PLC0415

        try:
            model = MlflowClient().get_registered_model(self._endpoint.model)
        except MlflowException as error:
            if error.error_code in NO_VERSION:
                return dict(self._endpoint.traffic)
            raise
        said = model.tags.get(traffic_tag(self._endpoint.name))
        return read_traffic(said, self._endpoint) if said else dict(self._endpoint.traffic)

    def _tidy(self, deployment: Deployment) -> None:
        """Remove versions that nobody is served from any more; the last ones may still be read."""
        kept = {entity.folder for entity in deployment.entities}
        old = sorted(
            (path for path in self._folder.glob("[!.]*-*") if path.name not in kept),
            key=lambda path: path.stat().st_mtime,
        )
        for path in old[:-_KEPT]:
            shutil.rmtree(path, ignore_errors=True)
        for path in self._folder.glob(f"{_FETCHED}*"):  # of servers that were killed
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > _FETCH_SECONDS:
                    shutil.rmtree(path, ignore_errors=True)


_KEPT = 4
_FETCHED = ".fetch-"
_FETCH_SECONDS = 3600.0  # none takes longer
_TRY_SECONDS = 120.0
_PATIENCE = 30.0  # seconds


def _force_to_disk(folder: Path) -> None:
    """Else a power cut may leave files that are empty, in a folder that says they are whole."""
    for path in folder.rglob("*"):
        _force(path)
    _force(folder)


def _force(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _try(files: Path) -> None:
    """Load a version where its faults do no harm.

    Raises:
        ValueError: It cannot be loaded.
    """
    try:
        done = subprocess.run(  # noqa: S603 - Python
            [sys.executable, "-c", _LOAD, str(files)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_TRY_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(f"it does not load within {_TRY_SECONDS:g} seconds") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise ValueError(f"it does not load ({last})")


_LOAD = """\
import pathlib, sys
from marvel_kedro.serving.models import loaded_model
loaded_model.load(pathlib.Path(sys.argv[1]))
"""


def read_traffic(said: str, endpoint: EndpointOptions) -> dict[str, int]:
    """Read the tag.

    Raises:
        ValueError: It is not what a tag of this endpoint has to be.
    """
    names = [entity.name for entity in endpoint.served_entities]
    try:
        traffic: dict[str, int] = {
            str(name): int(share) for name, share in json.loads(said).items()
        }
        check_traffic(traffic, names)
    except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"the tag {traffic_tag(endpoint.name)} of the model {endpoint.model} is no traffic "
            f"({error}); set it anew (kedro endpoint shift) or go back to the "
            "parameters (kedro endpoint reset)"
        ) from error
    return traffic


def _said(error: Exception) -> str:
    from marvel_kedro.core.errors import without_password  # noqa: PLC0415 - not on the way to a start

    text = without_password(str(error)).strip().partition("\n")[0] or type(error).__name__
    return text[:300].rstrip(".") + "."


def watch(
    registry: Registry,
    seconds: float,
    stop: threading.Event,
    seen: Callable[[Deployment], Any],
) -> None:
    """Refresh until told to stop.

    Args:
        registry: Whom to ask.
        seconds: How long to wait in between.
        stop: Ends it.
        seen: Told what is served, each time.
    """
    said: dict[str, str] = {}
    while not stop.is_set():
        try:
            deployment = registry.refresh()
        except Exception as error:  # noqa: BLE001 - the disk, mostly
            if said != {"": str(error)}:
                said = {"": str(error)}
                logger.error("What is to be served cannot be written down: %s", error)  # noqa: TRY400
        else:
            if deployment.faults != said:
                said = deployment.faults
                for name, fault in said.items():
                    logger.warning("%s: %s", name, fault)
            seen(deployment)
        stop.wait(seconds)
