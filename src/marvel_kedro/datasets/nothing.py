"""What an environment does not have."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError


class NothingDataset(AbstractDataset[None, None]):
    """Loads as None: an environment has no such thing, and the node that asks for it says so."""

    def __init__(self, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> None:
        """Give nothing."""

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Refuse.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("Nothing can be saved here.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {}
