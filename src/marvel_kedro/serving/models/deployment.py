"""What is served right now: written by the process that asks the registry, read by the workers."""

import os
import uuid
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE = "deployment.json"


class Deployed(BaseModel):
    """A served entity with its version.

    Attributes:
        name: The served entity.
        model: The registered model.
        version: Its version.
        folder: Name of the folder beside the file that holds the version.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    model: str
    version: str
    folder: str

    def id(self, endpoint: str) -> str:
        """What the inference table calls it: the same wherever the same version is served."""
        words = f"{endpoint}/{self.name}/{self.model}/{self.version}"
        return uuid.uuid5(uuid.NAMESPACE_URL, words).hex


class Deployment(BaseModel):
    """Everything that is served.

    Attributes:
        endpoint: Name of the endpoint.
        entities: Who may answer.
        traffic: Shares by served entity, in per cent; an entity may be missing from `entities`.
        faults: By served entity, or `registry`, why it is not as the description wants it.
    """

    model_config = ConfigDict(frozen=True)

    endpoint: str
    entities: tuple[Deployed, ...]
    traffic: dict[str, int]
    faults: dict[str, str] = Field(default_factory=dict)

    def served_rows(self, since: datetime) -> list[dict[str, Any]]:
        """What the table `served_entities` says of them."""
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
        """Make this what the workers read; whole or not at all."""
        partial = folder / f".{FILE}.{os.getpid()}.partial"
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(self.model_dump_json(indent=1))
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(folder / FILE)

    @classmethod
    def read(cls, folder: Path) -> "Deployment | None":
        """What is to be served; None if nobody has said so yet."""
        try:
            return cls.model_validate_json((folder / FILE).read_bytes())
        except (OSError, ValidationError):
            return None


def stamp(folder: Path) -> Any:  # noqa: ANN401 - only compared
    """What changes when another deployment was written."""
    try:
        found = (folder / FILE).stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns
