"""The model registry: versions, and the aliases `champion` and `challenger`."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.tracking._model_registry.fluent import _register_model

from marvel_kedro.core import remote
from marvel_kedro.core.errors import ProjectError, without_password
from marvel_kedro.model.aliases import NO_MODEL, find_version
from marvel_kedro.model.packaging import conform
from marvel_kedro.model.promotion import Source
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.options import SplitOptions
from marvel_kedro.table.split import with_side


@dataclass(frozen=True)
class LoggedModel:
    """A model that a run has logged."""

    uri: str
    run_id: str
    digest: str


@dataclass(frozen=True)
class Version:
    """A registered model and its version; None if a run made none."""

    name: str
    version: str | None


@dataclass(frozen=True)
class RegisteredModel:
    """A version of a registered model, ready to score.

    Attributes:
        name: The registered model.
        version: Its version.
        data_source: What it was trained on.
        split: Which rows it was trained on, and which it has not seen; None if nobody noted it.
        pyfunc: The loaded model.
        folder: Its files.
    """

    name: str
    version: str
    data_source: Source
    split: SplitOptions | None
    pyfunc: Any
    folder: Path

    @property
    def input_columns(self) -> list[str]:
        """The columns that the model takes."""
        return list(self.pyfunc.metadata.get_input_schema().input_names())

    def predict(self, records: pd.DataFrame) -> pd.DataFrame:
        """Score raw records; one row of `prediction` and `probability` a record."""
        schema = self.pyfunc.metadata.get_input_schema()
        scored: pd.DataFrame = self.pyfunc.predict(conform(records, schema))
        return scored

    def is_new(self, rows: pd.DataFrame) -> "pd.Series[bool]":
        """Which rows (`page_id`, `name`) it was not trained on, by its own split."""
        if self.split is None:
            return pd.Series(data=True, index=rows.index)
        ids = rows[["page_id", "name"]]
        side: pd.DataFrame = with_side(lazily(ids), self.split, into="is_test").to_native()
        return side["is_test"]


FindVersion = Callable[[str], RegisteredModel | None]
"""From the number of a version to the model; None if there is no such version."""


def version_tags(
    model: LoggedModel, source: Source, train_set_digest: str, split: SplitOptions
) -> dict[str, str]:
    """What a version says of itself, `find` reads again and `register` knows it by."""
    return {
        "model_digest": model.digest,
        "data_source": source,
        "train_set_digest": train_set_digest,
        "split_by": split.by,
        "split_test_share": str(split.test_share),
    }


def find(name: str, alias: str) -> RegisteredModel | None:
    """Load the version that has the alias, or return None if none has.

    Raises:
        ProjectError: Its files are gone.
    """
    version = find_version(name, alias=alias)
    return _ready(version, f"has the alias '{alias}'") if version else None


def find_numbered(name: str, number: str) -> RegisteredModel | None:
    """Load a version, or return None if there is none of that number.

    Raises:
        ProjectError: Its files are gone.
    """
    version = find_version(name, number=number)
    return _ready(version, "is there") if version else None


def _ready(version: ModelVersion, role: str) -> RegisteredModel:
    tags = version.tags
    folder, pyfunc = load(version.name, str(version.version), role)
    return RegisteredModel(
        name=version.name,
        version=str(version.version),
        data_source="synthetic" if tags.get("data_source") == "synthetic" else "file",
        split=SplitOptions(by=tags["split_by"], test_share=float(tags["split_test_share"]))
        if "split_by" in tags
        else None,
        pyfunc=pyfunc,
        folder=folder,
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
    for number in _numbers(client, name):
        # Asked for one by one, since not every registry's search gives the tags.
        version = client.get_model_version(name, number)
        if version.tags.get("model_digest") == tags["model_digest"] and _has_files(version):
            return str(version.version)
    # From a copy: MLflow deletes the logged model itself once Unity Catalog has it, if its address
    # is file://. What `mlflow.register_model` calls, which does not take a copy.
    with tempfile.TemporaryDirectory() as folder:
        copy = mlflow.artifacts.download_artifacts(model_uri, dst_path=folder)
        version = _register_model(model_uri, name, tags=tags, local_model_path=copy)
    return str(version.version)


def _numbers(client: MlflowClient, name: str) -> Iterator[str]:
    """The versions that there are; a registry gives them page by page."""
    token: str | None = None
    while True:
        try:
            page = client.search_model_versions(f"name='{name}'", page_token=token)
        except MlflowException as error:
            if error.error_code in NO_MODEL:
                return
            raise
        yield from (str(found.version) for found in page)
        token = page.token
        if not token:
            return


def _has_files(version: ModelVersion) -> bool:
    """Whether the version can be loaded: its files are there, and were copied to the end."""
    if version.status != "READY":
        return False
    try:
        mlflow.models.get_model_info(f"models:/{version.name}/{version.version}")
    except (MlflowException, OSError) as error:
        if remote.refusal(error):  # else every hiccup of a server would make one more version
            raise
        return False
    return True


def load(name: str, version: str, role: str) -> tuple[Path, Any]:
    """Fetch the files of a version, and load the model in them.

    Args:
        name: The registered model.
        version: Its version.
        role: What it is, for the message, such as `has the alias 'champion'`.

    Raises:
        ProjectError: They are gone, or are no model.
    """
    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}"))
        return folder, mlflow.pyfunc.load_model(str(folder))
    except Exception as error:  # the code that a version carries may raise anything
        if remote.refusal(error) or str(error).startswith("API request to"):  # not the files' fault
            raise
        said = without_password(str(error)).strip()
        fault = said.partition("\n")[0] or type(error).__name__
        raise ProjectError(
            f"Version {version} of the model '{name}' {role}, but its files "
            f"cannot be loaded ({fault}). If the project's folder was moved, "
            "or mlartifacts deleted, bring it back; or forget all versions and runs: make clean."
        ) from error
