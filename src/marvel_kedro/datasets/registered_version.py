"""A version of a registered model, as a dataset."""

from typing import Any

from kedro.io import AbstractDataset

from marvel_kedro.model import registry
from marvel_kedro.model.registry import Version


class RegisteredVersionDataset(AbstractDataset[dict[str, Any], Version]):
    """The version that a run makes: saving registers a logged model, loading says which version.

    Saving takes `model_uri` and `tags`, or nothing for a model that is not worth a version.
    """

    def __init__(self, model_name: str, metadata: dict[str, Any] | None = None) -> None:
        self._model_name = model_name
        self._version: str | None = None
        self.metadata = metadata

    def save(self, data: dict[str, Any]) -> None:
        """Register the model, or find the version that it is already."""
        self._version = registry.register(self._model_name, **data) if data else None

    def load(self) -> Version:
        """Say which version it is."""
        return Version(self._model_name, self._version)

    def _exists(self) -> bool:
        return self._version is not None

    def _describe(self) -> dict[str, Any]:
        return {"model_name": self._model_name}
