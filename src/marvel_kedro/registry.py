"""The model registry: versions, and the aliases `champion` and `challenger`."""

from dataclasses import dataclass
from typing import Any, Literal

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

DataSource = Literal["file", "synthetic"]

_ABSENT = (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a registered model, ready to score."""

    name: str
    version: str
    data_source: DataSource
    digest: str
    run_id: str
    pyfunc: Any

    def predict(self, records: pd.DataFrame) -> pd.DataFrame:
        """Score raw records; one row of `prediction` and `probability` a record."""
        known = [
            name
            for name in self.pyfunc.metadata.get_input_schema().input_names()
            if name in records
        ]
        scored: pd.DataFrame = self.pyfunc.predict(records[known])
        return scored


def find(name: str, alias: str) -> RegisteredModel | None:
    """Load the version that has the alias, or return None if none has."""
    try:
        version = MlflowClient().get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in _ABSENT:  # no such model; no such alias
            return None
        raise
    return RegisteredModel(
        name=name,
        version=str(version.version),
        data_source="synthetic" if version.tags.get("data_source") == "synthetic" else "file",
        digest=version.tags.get("model_digest", ""),
        run_id=version.run_id or "",
        pyfunc=mlflow.pyfunc.load_model(f"models:/{name}/{version.version}"),
    )


def register(name: str, model_uri: str, tags: dict[str, str]) -> str:
    """Make a version of the model, or find the one with the same `model_digest`.

    Args:
        name: The registered model; it is made if it is not there.
        model_uri: The logged model.
        tags: Tags of the version, `model_digest` among them.

    Returns:
        The version. A run that was killed before it moved an alias, and a rerun on the same data,
        come back to the version that is there.
    """
    client = MlflowClient()
    for version in client.search_model_versions(f"name='{name}'"):
        if (
            client.get_model_version(name, version.version).tags.get("model_digest")
            == (tags["model_digest"])
        ):
            return str(version.version)
    return str(mlflow.register_model(model_uri, name, tags=tags).version)


def move_alias(name: str, alias: str, version: str) -> None:
    """Point an alias at a version; a champion is nobody's challenger."""
    client = MlflowClient()
    client.set_registered_model_alias(name, alias, version)
    if alias == "champion":
        challenger = client.get_registered_model(name).aliases.get("challenger")
        if str(challenger) == version:
            client.delete_registered_model_alias(name, "challenger")
