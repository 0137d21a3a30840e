"""A dataset that need not be there."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError


class OptionalDataset(AbstractDataset[Any, Any]):
    """Another dataset to be read, or None as long as it does not exist."""

    def __init__(self, dataset: dict[str, Any], metadata: dict[str, Any] | None = None) -> None:
        """Say which dataset it is.

        Args:
            dataset: Its entry in the catalog.
            metadata: Of Kedro's plugins.
        """
        # The catalog itself looks after validators; whoever writes the dataset has one.
        entry = {key: value for key, value in dataset.items() if key != "validator"}
        self._dataset: AbstractDataset[Any, Any] = AbstractDataset.from_config("dataset", entry)
        self.metadata = metadata

    def load(self) -> Any:  # noqa: ANN401 - whatever it is
        """Read it, if it is there."""
        return self._dataset.load() if self._dataset.exists() else None

    def save(self, data: Any) -> None:  # noqa: ANN401, ARG002
        """Refuse: whoever makes it has an entry of its own.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("An optional dataset is only read.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"dataset": self._dataset}
