"""Datasets that may be missing: one that need not exist yet, and one that an environment lacks."""

from typing import Any

from kedro.io import AbstractDataset

from marvel_kedro.datasets.base import Metadata, ReadOnlyDataset


class OptionalDataset(ReadOnlyDataset[Any]):
    """Load another dataset, given by its catalog entry, or None while it does not exist."""

    READ_ONLY = "the pipeline that writes the dataset has a catalog entry of its own"

    def __init__(self, dataset: dict[str, Any], metadata: Metadata = None) -> None:
        super().__init__(metadata)
        # Kedro's catalog runs validators, and only for entries of its own; the entry that writes
        # the dataset has one.
        entry = {key: value for key, value in dataset.items() if key != "validator"}
        self._dataset: AbstractDataset[Any, Any] = AbstractDataset.from_config("dataset", entry)

    def load(self) -> Any:  # noqa: ANN401 - whatever the dataset holds
        """Load the dataset if it exists."""
        return self._dataset.load() if self._dataset.exists() else None

    def _describe(self) -> dict[str, Any]:  # not the entry, which may hold credentials
        return {"dataset": self._dataset}


class NothingDataset(ReadOnlyDataset[None]):
    """Load None: the environment has no such dataset, and the node reports it if it needs one."""

    READ_ONLY = "this environment has no such dataset"

    def load(self) -> None:
        """Return None."""
