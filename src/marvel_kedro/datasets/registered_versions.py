"""All versions of a registered model, as a dataset."""

from functools import partial
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from marvel_kedro.model import registry
from marvel_kedro.model.registry import FindVersion


class RegisteredVersionsDataset(AbstractDataset[None, FindVersion]):
    """The versions of a registered model; one is loaded when it is asked for."""

    def __init__(self, model_name: str, metadata: dict[str, Any] | None = None) -> None:
        self._model_name = model_name
        self.metadata = metadata

    def load(self) -> FindVersion:
        """Give a function from the number of a version to the model, or to None."""
        return partial(registry.find_numbered, self._model_name)

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Refuse: versions are made one by one.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"The versions of {self._model_name} are only read here.")

    def _describe(self) -> dict[str, Any]:
        return {"model_name": self._model_name}
