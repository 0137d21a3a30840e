"""Figures of a run, in MLflow."""

import math
from typing import Any

import mlflow
from kedro.io import AbstractDataset, DatasetError


class RunMetricsDataset(AbstractDataset[dict[str, float], dict[str, float]]):
    """Metrics of the active MLflow run, logged in one call as `<prefix>.<name>`.

    Metrics that are saved after a model was logged in the run are linked to that model;
    the dataset of kedro-mlflow has no setting for it. A figure that is not defined (NaN) is left
    out.
    """

    def __init__(self, prefix: str, metadata: dict[str, Any] | None = None) -> None:
        self._prefix = prefix
        self.metadata = metadata

    def save(self, data: dict[str, float]) -> None:
        """Log the metrics."""
        mlflow.log_metrics(
            {
                f"{self._prefix}.{name}": value
                for name, value in data.items()
                if not math.isnan(value)
            },
            model_id=mlflow.get_active_model_id(),
        )

    def load(self) -> dict[str, float]:
        """Read the metrics of the active run.

        Raises:
            DatasetError: No run is active.
        """
        run = mlflow.active_run()
        if run is None:
            raise DatasetError(f"The metrics '{self._prefix}' belong to a run, and none is active.")
        metrics = mlflow.get_run(run.info.run_id).data.metrics
        start = f"{self._prefix}."
        return {k.removeprefix(start): v for k, v in metrics.items() if k.startswith(start)}

    def _describe(self) -> dict[str, Any]:
        return {"prefix": self._prefix}
