"""A registered model's alias, as a dataset."""

from typing import Any

from kedro.io import AbstractDataset

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import registry
from marvel_kedro.model.aliases import find_version, move_alias
from marvel_kedro.model.registry import RegisteredModel


class RegisteredModelDataset(AbstractDataset[dict[str, str], RegisteredModel | None]):
    """The version that has an alias.

    Loading gives that version ready to score. Saving takes versions by alias and points each alias
    at its version, which is what makes a promotion happen: one step, at once for everybody.
    kedro-mlflow's dataset of this kind is load-only.
    """

    def __init__(
        self,
        model_name: str,
        alias: str,
        *,
        required: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._model_name = model_name
        self._alias = alias
        self._required = required
        self._loaded: RegisteredModel | None = None
        self.metadata = metadata

    def load(self) -> RegisteredModel | None:
        """Load the version that has the alias.

        Returns:
            The model; None if no version has the alias and none is required.

        Raises:
            ProjectError: No version has the alias, and one is required.
        """
        # Once a run: what one node compares with, the next must not find moved.
        self._loaded = self._loaded or registry.find(self._model_name, self._alias)
        if self._loaded is None and self._required:
            raise ProjectError(
                f"No version of the model '{self._model_name}' has the alias '{self._alias}'. "
                "Train one that passes the gate: kedro run --pipelines training; "
                "data/08_reporting/promotion.json says which checks the last one failed."
            )
        return self._loaded

    def save(self, data: dict[str, str]) -> None:
        """Point each alias at its version; no alias, nothing moves."""
        self._loaded = None
        for alias, version in data.items():
            move_alias(self._model_name, alias, version)

    def _exists(self) -> bool:
        return find_version(self._model_name, alias=self._alias) is not None

    def _describe(self) -> dict[str, Any]:
        return {"model_name": self._model_name, "alias": self._alias}
