"""The base of catalog types that only load."""

from typing import Any, ClassVar, TypeVar

from kedro.io import AbstractDataset, DatasetError

Loaded = TypeVar("Loaded")


class ReadOnlyDataset(AbstractDataset[None, Loaded]):
    """A dataset that cannot be saved.

    Attributes:
        READ_ONLY: The reason, for the message.
    """

    READ_ONLY: ClassVar[str]

    def __init__(self, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Refuse to save.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"{type(self).__name__} is only read: {self.READ_ONLY}.")

    def _exists(self) -> bool:
        return True
