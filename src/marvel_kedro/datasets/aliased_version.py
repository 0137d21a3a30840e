"""Which version of a registered model has an alias, as a dataset."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError

from marvel_kedro.model.aliases import find_version


class AliasedVersionDataset(AbstractDataset[None, str | None]):
    """The number of the version that has an alias; the model itself is not loaded."""

    def __init__(self, model_name: str, alias: str, metadata: dict[str, Any] | None = None) -> None:
        """Say which alias it is.

        Args:
            model_name: The registered model.
            alias: Of one of its versions.
            metadata: Of Kedro's plugins.
        """
        self._model_name = model_name
        self._alias = alias
        self.metadata = metadata

    def load(self) -> str | None:
        """Ask the registry; None if no version has the alias."""
        found = find_version(self._model_name, alias=self._alias)
        return None if found is None else str(found.version)

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Refuse: who moves an alias has an entry of its own.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"The alias {self._alias} of {self._model_name} is only read here.")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"model_name": self._model_name, "alias": self._alias}
