"""The model registry: register logged models and load their versions."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking._model_registry.fluent import _register_model

from marvel_kedro.core.errors import ProjectError, remote_failure, without_password
from marvel_kedro.model.aliases import NO_MODEL, find_version
from marvel_kedro.model.isolation import load_isolated
from marvel_kedro.model.packaging import conform
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.options import RecordedSplit
from marvel_kedro.table.split import with_side

Source = Literal["file", "synthetic"]
"""The kind of data that a model was trained on."""

TABLE_TAG = "table_fingerprint"
"""The tag with `TableSpec.fingerprint`."""


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run has logged."""

    uri: str
    run_id: str
    digest: str

    def predict(self, records: pd.DataFrame) -> pd.DataFrame:
        """Score raw records as its clients will: with the model loaded back from the store."""
        pyfunc = mlflow.pyfunc.load_model(self.uri)
        return pyfunc.predict(conform(records, pyfunc.metadata.get_input_schema()))


@dataclass(frozen=True)
class Version:
    """A registered model and a version of it; the version is None if a run made none."""

    name: str
    version: str | None


@dataclass(frozen=True)
class RegisteredModel:
    """A loaded version of a registered model."""

    name: str
    version: str
    data_source: Source
    split: RecordedSplit | None  # of its training and test rows; None if it was not recorded
    pyfunc: Any
    folder: Path  # the files of the version

    def predict(self, records: pd.DataFrame) -> pd.DataFrame:
        """Score raw records: one row of `prediction` and `probability` per record."""
        return self.pyfunc.predict(conform(records, self.pyfunc.metadata.get_input_schema()))

    def is_unseen(self, rows: pd.DataFrame, table: TableSpec) -> "pd.Series[bool]":
        """Mark the rows of a table that are on the test side of the model's own split.

        Raises:
            ProjectError: The table lacks the column by which the model's rows were split.
        """
        if self.split is None:
            return pd.Series(data=True, index=rows.index)
        if self.split.column not in rows:
            raise ProjectError(
                f"Version {self.version} of {self.name} was trained on another table: its rows "
                f"were split by {self.split.column}, which {table.name} lacks. Give `name` in "
                "table.yml another value, or remove the version's aliases."
            )
        ids = lazily(rows[[*{table.key, self.split.column}]])
        sides = with_side(ids, table, self.split, into="is_test")
        return sides.to_native()["is_test"]


FindVersion = Callable[[str], RegisteredModel | None]
"""A function from the number of a version to the model; None if there is no such version."""


def version_tags(
    model: LoggedModel, source: Source, train_set_digest: str, split: RecordedSplit
) -> dict[str, str]:
    """Make the tags of a version: `register` compares `model_digest`, `find` reads the others."""
    return {
        "model_digest": model.digest,
        "data_source": source,
        "train_set_digest": train_set_digest,
        "split_by": split.by,
        "split_column": split.column,
        "split_test_share": str(split.test_share),
    }


def find(
    name: str, alias: str | None = None, *, number: str | None = None
) -> RegisteredModel | None:
    """Load the version with an alias or a number; return None if there is none.

    Raises:
        ProjectError: The files of the version cannot be loaded.
    """
    version = find_version(name, alias=alias, number=number)
    if version is None:
        return None
    role = f"has the alias '{alias}'" if alias else "exists"
    folder, pyfunc = load(version.name, str(version.version), role)
    split, tags = None, version.tags
    if "split_by" in tags:
        # In versions of earlier releases `split_by` is the column.
        by, share = tags["split_by"], tags["split_test_share"]
        recorded = {"by": {"page_id": "key", "name": "group"}.get(by, by), "test_share": share}
        column = tags.get("split_column", by)
        split = RecordedSplit.model_validate(recorded | {"column": column})
    source: Source = "synthetic" if tags.get("data_source") == "synthetic" else "file"
    return RegisteredModel(version.name, str(version.version), source, split, pyfunc, folder)


def load(name: str, version: str, role: str) -> tuple[Path, Any]:
    """Download the files of a version and load the model.

    `role` is the role of the version for the message, such as `has the alias 'champion'`.

    Raises:
        ProjectError: The files are missing, or are no model.
    """
    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}"))
        return folder, load_isolated(folder)
    except Exception as error:  # the version's own code may raise anything
        if remote_failure(error) or str(error).startswith("API request to"):  # the server's failure
            raise
        text = without_password(str(error)).strip()
        fault = text.partition("\n")[0] or type(error).__name__
        raise ProjectError(
            f"Version {version} of the model '{name}' {role}, but its files cannot be loaded "
            f"({fault}). If files of mlartifacts were deleted or not copied, restore them; or "
            "delete all versions and runs: make clean."
        ) from error


def register(name: str, model_uri: str, tags: dict[str, str]) -> str:
    """Register a logged model as a version, unless a version with its digest exists.

    A version of the same trees that was fitted to another table would be no rival of the next one.
    A run that is repeated, on the same data or because it was killed before it moved an alias, thus
    finds the version that it made. The registered model is created if it does not exist. Returns
    the number of the version.
    """
    client = MlflowClient()
    try:
        found = mlflow.search_model_versions(filter_string=f"name='{name}'")
    except MlflowException as error:
        if error.error_code not in NO_MODEL:
            raise
        found = []
    for each in found:
        # Read one by one: not every registry's search returns the tags.
        version = client.get_model_version(name, str(each.version))
        same = all(version.tags.get(name) == tags.get(name) for name in ("model_digest", TABLE_TAG))
        if same and _has_files(version):
            return str(version.version)
    # Register a copy: MLflow deletes a logged model at a file:// address once Unity Catalog has
    # it. The public `mlflow.register_model` does not accept a copy.
    with tempfile.TemporaryDirectory() as folder:
        copy = mlflow.artifacts.download_artifacts(model_uri, dst_path=folder)
        version = _register_model(model_uri, name, tags=tags, local_model_path=copy)
    return str(version.version)


def _has_files(version: ModelVersion) -> bool:
    """Check whether the files of a version exist and were copied completely."""
    if version.status != "READY":
        return False
    try:
        mlflow.models.get_model_info(f"models:/{version.name}/{version.version}")
    except (MlflowException, OSError) as error:
        if remote_failure(error):  # a temporary failure must not lead to another version
            raise
        return False
    return True
