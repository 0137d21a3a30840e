"""The bases of the project's catalog types."""

from typing import Any, ClassVar, TypeVar

from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

Saved = TypeVar("Saved")
Loaded = TypeVar("Loaded")
Metadata = dict[str, Any] | None  # of a catalog entry, for Kedro's plugins


def table_preview(columns: list[str], rows: list[list[Any]]) -> TablePreview:
    """Return rows in the form of kedro-viz's previews of tables."""
    return TablePreview({"index": list(range(len(rows))), "columns": columns, "data": rows})


class ProjectDataset(AbstractDataset[Saved, Loaded]):
    """A dataset that is described by its arguments."""

    def __init__(self, metadata: Metadata = None) -> None:
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        arguments = getattr(self, "_init_args", {})  # Kedro sets them
        hidden = ("metadata", "credentials")
        return {name: value for name, value in arguments.items() if name not in hidden}


class ReadOnlyDataset(ProjectDataset[None, Loaded]):
    """A dataset that cannot be saved; `READ_ONLY` is the reason, for the message."""

    READ_ONLY: ClassVar[str]

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Raise a DatasetError."""
        described = ", ".join(f"{name}={value}" for name, value in self._describe().items())
        raise DatasetError(f"{type(self).__name__}({described}) is only read: {self.READ_ONLY}.")

    def _exists(self) -> bool:
        return True
