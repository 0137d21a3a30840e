"""The candidate of a run, as an MLflow model."""

from typing import Any

import mlflow
from kedro.io import AbstractDataset, DatasetError

from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.model.portable.predictor import CharacterModel
from marvel_kedro.model.registry import LoggedModel


class LoggedModelDataset(AbstractDataset[CharacterModel, LoggedModel]):
    """A fitted model: saving logs it in the active MLflow run, loading says where it is.

    From then on the metrics that the run logs are linked to this model.
    """

    def __init__(self, name: str, metadata: dict[str, Any] | None = None) -> None:
        self._name = name
        self._logged: LoggedModel | None = None
        self.metadata = metadata

    def save(self, data: CharacterModel) -> None:
        """Log the model in the active run."""
        info = log_candidate(data, self._name)
        mlflow.set_active_model(model_id=info.model_id)
        self._logged = LoggedModel(info.model_uri, info.run_id, data.digest)

    def load(self) -> LoggedModel:
        """Say where the model of this run is.

        Raises:
            DatasetError: This run has logged no model.
        """
        if self._logged is None:
            raise DatasetError("This run has logged no model: run the pipeline `training` whole.")
        return self._logged

    def _exists(self) -> bool:
        return self._logged is not None

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name}
