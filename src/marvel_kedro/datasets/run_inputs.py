"""The tables that a run was made from, in MLflow."""

from typing import Any

import mlflow
from kedro.io import AbstractDataset, DatasetError
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset


class RunInputsDataset(AbstractDataset[dict[str, dict[str, Any]], None]):
    """Digests of tables, shown by MLflow as the datasets of the active run.

    Saving takes, by table name, a dictionary with `digest` and `rows`.
    """

    def __init__(self, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def save(self, data: dict[str, dict[str, Any]]) -> None:
        """Log the tables as inputs of the active run."""
        for name, table in data.items():
            source = CodeDatasetSource(tags={"kedro.dataset": name})
            mlflow.log_input(
                MetaDataset(source, name=name, digest=table["digest"]),  # type: ignore[abstract]
                context=name,
                tags={"rows": str(table["rows"])},
            )

    def load(self) -> None:
        """Refuse: what a run was made from is read in MLflow.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("The inputs of a run are written only; read them in MLflow.")

    def _describe(self) -> dict[str, Any]:
        return {}
