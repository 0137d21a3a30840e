"""The published deployment: written by the process that polls the registry, read by workers."""

import os
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

FILE = "deployment.json"


class Deployed(BaseModel, frozen=True):
    """A served entity with its version, whose `folder` is next to `deployment.json`."""

    name: str
    model: str
    version: str
    folder: str

    def id(self, endpoint: str) -> str:
        """Return its `served_entity_id`: the same wherever the same version is served."""
        path = f"{endpoint}/{self.name}/{self.model}/{self.version}"
        return uuid.uuid5(uuid.NAMESPACE_URL, path).hex


class Deployment(BaseModel, frozen=True):
    """The served entities of an endpoint that have a version.

    Attributes:
        traffic: Percentages by served entity, which `entities` may lack.
        faults: By served entity, `registry` or `traffic`, why it differs from the configuration.
    """

    endpoint: str
    entities: tuple[Deployed, ...]
    traffic: dict[str, int]
    faults: dict[str, str] = {}

    def served_rows(self, since: datetime) -> list[dict[str, Any]]:
        """Return the entities as rows of the table `served_entities`."""
        return [
            {
                "served_entity_id": entity.id(self.endpoint),
                "endpoint_name": self.endpoint,
                "served_entity_name": entity.name,
                "entity_name": entity.model,
                "entity_version": entity.version,
                "change_time": since,
            }
            for entity in self.entities
        ]

    def write(self, folder: Path) -> None:
        """Publish the deployment to the workers, atomically."""
        partial = folder / f".{FILE}.{os.getpid()}.partial"
        partial.write_text(self.model_dump_json(indent=1), "utf-8")
        sync(partial)
        partial.replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> "Deployment | None":
        """Read the published deployment; None if there is none."""
        try:
            return cls.model_validate_json((folder / FILE).read_bytes())
        except (OSError, ValidationError):
            return None


def stamp(folder: Path) -> Any:  # noqa: ANN401 - only compared
    """Return a value that changes whenever a deployment is written."""
    try:
        found = (folder / FILE).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def sync(path: Path) -> None:
    """Write a file or folder to the disk, so that a power cut leaves it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
