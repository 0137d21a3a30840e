"""Runs, models and versions of MLflow, which kedro-mlflow's catalog types do not cover."""

import math
from pathlib import Path
from typing import Any

import mlflow
from kedro.io import DatasetError
from kedro_datasets._typing import TablePreview
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.datasets.base import Metadata, ProjectDataset, ReadOnlyDataset, table_preview
from marvel_kedro.model import card_status, registry, tracking
from marvel_kedro.model.aliases import aliases_by_version, find_version, move_alias
from marvel_kedro.model.card_status import RegisteredVersion
from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.model.registry import FindVersion, LoggedModel, RegisteredModel, Version


class RunInputsDataset(ProjectDataset[dict[str, dict[str, Any]], None]):
    """Log digests of tables, which MLflow shows as the datasets of the active run.

    Saving takes a dictionary with `digest` and `rows` by table name.
    """

    def save(self, data: dict[str, dict[str, Any]]) -> None:
        """Log the tables as inputs of the active run."""
        for name, table in data.items():
            source = CodeDatasetSource(tags={"kedro.dataset": name})
            dataset = MetaDataset(source, name=name, digest=table["digest"])  # type: ignore[abstract]
            mlflow.log_input(dataset, context=name, tags={"rows": str(table["rows"])})

    def load(self) -> None:
        """Raise a DatasetError."""
        raise DatasetError("The inputs of a run are only written; read them in MLflow.")


class RunMetricsDataset(ProjectDataset[dict[str, float], dict[str, float]]):
    """Log metrics of the active MLflow run in one call, as `<prefix>.<name>`.

    Metrics that are saved after a model was logged in the run are linked to that model;
    kedro-mlflow's dataset has no setting for it. Undefined values (NaN) are left out.
    """

    def __init__(self, prefix: str, metadata: Metadata = None) -> None:
        self._prefix = prefix
        super().__init__(metadata)

    def save(self, data: dict[str, float]) -> None:
        """Log the metrics."""
        defined = {f"{self._prefix}.{k}": v for k, v in data.items() if not math.isnan(v)}
        mlflow.log_metrics(defined, model_id=mlflow.get_active_model_id())

    def load(self) -> dict[str, float]:
        """Read the metrics of the active run; raise a DatasetError if there is none."""
        run = mlflow.active_run()
        if run is None:
            raise DatasetError(f"The metrics '{self._prefix}' belong to a run, and none is active.")
        metrics = mlflow.get_run(run.info.run_id).data.metrics
        start = f"{self._prefix}."
        return {k.removeprefix(start): v for k, v in metrics.items() if k.startswith(start)}

    def preview(self) -> TablePreview:
        """Return the metrics of the newest run that has some, for kedro-viz."""
        client = _client()
        experiments = [one.experiment_id for one in client.search_experiments()]
        for run in client.search_runs(experiments, max_results=_SEARCHED_RUNS):
            metrics = run.data.metrics
            if rows := [
                [k, metrics[k]] for k in sorted(metrics) if k.startswith(f"{self._prefix}.")
            ]:
                return table_preview(["metric", run.info.run_name], rows)
        raise DatasetError(f"No run has metrics '{self._prefix}' yet: kedro run.")


class LoggedModelDataset(ProjectDataset[TabularModel, LoggedModel]):
    """Log a fitted model in the active run when saved; load its location.

    Metrics that the run logs afterwards are linked to this model.
    """

    def __init__(self, name: str, metadata: Metadata = None) -> None:
        self._name = name
        self._logged: LoggedModel | None = None
        super().__init__(metadata)

    def save(self, data: TabularModel) -> None:
        """Log the model in the active run."""
        info = log_candidate(data, self._name)
        mlflow.set_active_model(model_id=info.model_id)
        self._logged = LoggedModel(info.model_uri, info.run_id, data.digest)

    def load(self) -> LoggedModel:
        """Return the model that this run has logged; raise a DatasetError if it has none."""
        if self._logged is None:
            raise DatasetError("This run has logged no model: run the pipeline `training` whole.")
        return self._logged

    def _exists(self) -> bool:
        return self._logged is not None


class RegisteredVersionDataset(ProjectDataset[dict[str, Any], Version]):
    """Register a logged model when saved; load the version of this run.

    Saving takes `model_uri` and `tags`, or an empty dictionary for a model that gets no version.
    """

    def __init__(self, model_name: str, metadata: Metadata = None) -> None:
        self._model_name = model_name
        self._version: str | None = None
        super().__init__(metadata)

    def save(self, data: dict[str, Any]) -> None:
        """Register the model, or find the version that is this model already."""
        self._version = registry.register(self._model_name, **data) if data else None

    def load(self) -> Version:
        """Return the version of this run."""
        return Version(self._model_name, self._version)

    def _exists(self) -> bool:
        return self._version is not None


class RegisteredVersionsDataset(ReadOnlyDataset[FindVersion]):
    """Give access to all versions of a registered model; each is loaded on request."""

    READ_ONLY = "versions are registered one by one"

    def __init__(self, model_name: str, metadata: Metadata = None) -> None:
        super().__init__(metadata)
        self._model_name = model_name

    def load(self) -> FindVersion:
        """Return a function from the number of a version to the model, or to None."""
        return lambda number: registry.find(self._model_name, number=number)


class RegisteredModelDataset(ProjectDataset[dict[str, str], RegisteredModel | None]):
    """The version that has an alias.

    - Loading returns that version, ready to score.
    - Saving takes versions by alias and points each alias at its version. This is the promotion:
      one step, which all clients see at once. kedro-mlflow's dataset of this kind is load-only.
    """

    def __init__(
        self, model_name: str, alias: str, *, required: bool = True, metadata: Metadata = None
    ) -> None:
        self._model_name = model_name
        self._alias = alias
        self._required = required
        self._loaded: RegisteredModel | None = None
        super().__init__(metadata)

    def load(self) -> RegisteredModel | None:
        """Load the version; without one, raise a ProjectError if it is required, or return None."""
        # Once a run: all its nodes must see the same version, even if the alias moves meanwhile.
        self._loaded = self._loaded or registry.find(self._model_name, self._alias)
        if self._loaded is None and self._required:
            raise ProjectError(
                f"No version of the model '{self._model_name}' has the alias '{self._alias}'. "
                "Train one that passes the gate: kedro run --pipelines training; "
                "data/08_reporting/promotion.json says which checks the last one failed."
            )
        return self._loaded

    def save(self, data: dict[str, str]) -> None:
        """Point each alias at its version; an empty dictionary moves none."""
        self._loaded = None
        for alias, version in data.items():
            move_alias(self._model_name, alias, version, decision="the promotion gate")
        if data:
            changed = card_status.statuses(card_status.read_versions(self._model_name))
            card_status.update_cards(self._model_name, changed)

    def preview(self) -> TablePreview:
        """Return the version that has the alias, its run and its tags, for kedro-viz."""
        version = _client().get_model_version_by_alias(self._model_name, self._alias)
        facts = {"version": version.version, "run": version.run_id} | dict(
            sorted(version.tags.items())
        )
        return table_preview([self._model_name, self._alias], list(map(list, facts.items())))

    def _exists(self) -> bool:
        return find_version(self._model_name, alias=self._alias) is not None


class ModelCardsDataset(ProjectDataset[dict[str, str], list[RegisteredVersion]]):
    """The status in the model cards of a registered model.

    - Loading returns its versions with their aliases and tags.
    - Saving takes statuses by version and writes them into the cards.
    """

    def __init__(self, model_name: str, folder: str, metadata: Metadata = None) -> None:
        self._model_name = model_name
        self._folder = Path(folder)
        super().__init__(metadata)

    def load(self) -> list[RegisteredVersion]:
        """Read the versions."""
        return card_status.read_versions(self._model_name)

    def save(self, data: dict[str, str]) -> None:
        """Write the statuses into the cards."""
        card_status.update_cards(self._model_name, data, self._folder)

    def _exists(self) -> bool:
        return True


class VersionAliasesDataset(ReadOnlyDataset[dict[str, set[str]]]):
    """Load the aliases of every version of a registered model."""

    READ_ONLY = "RegisteredModelDataset moves aliases"

    def __init__(self, model_name: str, metadata: Metadata = None) -> None:
        super().__init__(metadata)
        self._model_name = model_name

    def load(self) -> dict[str, set[str]]:
        """Look the versions up in the registry; empty without a model."""
        return aliases_by_version(self._model_name)


class AliasedVersionDataset(ReadOnlyDataset[str | None]):
    """Load the number of the version that has an alias, without loading the model."""

    READ_ONLY = "RegisteredModelDataset moves aliases"

    def __init__(self, model_name: str, alias: str, metadata: Metadata = None) -> None:
        super().__init__(metadata)
        self._model_name = model_name
        self._alias = alias

    def load(self) -> str | None:
        """Look the alias up in the registry; None if no version has it."""
        found = find_version(self._model_name, alias=self._alias)
        return None if found is None else str(found.version)


_SEARCHED_RUNS = 20


def _client() -> MlflowClient:
    """Return a client of the project's store: kedro-viz runs no hooks, which would set it."""
    store = tracking.find_store(Path.cwd())
    if not tracking.exists(store.uri):
        raise DatasetError("There are no runs yet: kedro run.")
    return MlflowClient(store.uri, store.registry)
