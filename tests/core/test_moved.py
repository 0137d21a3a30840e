"""Module paths of the previous release."""

import importlib
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
from kedro.io import AbstractDataset
from kedro.utils import load_obj

from marvel_kedro.core import moved
from marvel_kedro.datasets.mlflow import RegisteredModelDataset
from marvel_kedro.project.error_messages import explain

OLD_TYPES = [
    "marvel_kedro.databricks.job.main",
    "marvel_kedro.databricks.managed_metrics.ManagedMetricsDataset",
    "marvel_kedro.databricks.schema_table.SchemaTableDataset",
    "marvel_kedro.databricks.spark_raw_csv.SparkRawCSVDataset",
    "marvel_kedro.datasets.aliased_version.AliasedVersionDataset",
    "marvel_kedro.datasets.arrow_table.ArrowTableDataset",
    "marvel_kedro.datasets.delta_folder.DeltaFolderDataset",
    "marvel_kedro.datasets.logged_model.LoggedModelDataset",
    "marvel_kedro.datasets.nothing.NothingDataset",
    "marvel_kedro.datasets.online_table.OnlineTableDataset",
    "marvel_kedro.datasets.optional.OptionalDataset",
    "marvel_kedro.datasets.otlp_metrics.OtlpMetricsDataset",
    "marvel_kedro.datasets.raw_csv.RawCSVDataset",
    "marvel_kedro.datasets.registered_model.RegisteredModelDataset",
    "marvel_kedro.datasets.registered_version.RegisteredVersionDataset",
    "marvel_kedro.datasets.registered_versions.RegisteredVersionsDataset",
    "marvel_kedro.datasets.run_inputs.RunInputsDataset",
    "marvel_kedro.datasets.run_metrics.RunMetricsDataset",
    "marvel_kedro.datasets.webhook.WebhookDataset",
]


@pytest.fixture(autouse=True)
def _nothing_imported() -> Iterator[None]:
    """Import each old module as if for the first time in the process."""
    yield
    for name in moved.MOVED:
        sys.modules.pop(name, None)


@pytest.mark.filterwarnings("ignore:.*has moved:FutureWarning")
@pytest.mark.parametrize("path", OLD_TYPES)
def test_old_type_loads(path: str) -> None:
    assert callable(load_obj(path))


def test_old_catalog_type_loads_with_one_warning_that_names_the_new_module(
    caplog: pytest.LogCaptureFixture,
) -> None:
    entry = {
        "type": "marvel_kedro.datasets.registered_model.RegisteredModelDataset",
        "model_name": "m",
        "alias": "champion",
    }
    with caplog.at_level(logging.WARNING), pytest.warns(FutureWarning) as warned:
        datasets = [AbstractDataset.from_config(name, entry) for name in ("first", "second")]
    assert [type(dataset) for dataset in datasets] == [RegisteredModelDataset] * 2
    text = (
        "marvel_kedro.datasets.registered_model has moved: write marvel_kedro.datasets.mlflow. "
        "The next release removes the old path."
    )
    assert [str(warning.message) for warning in warned] == [text]
    assert [record.message for record in caplog.records if record.name == moved.__name__] == [text]


@pytest.mark.filterwarnings("ignore:.*has moved:FutureWarning")
@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (
            "marvel_kedro.datasets.registered_model.RegisterdModelDataset",
            "marvel_kedro.datasets.mlflow.RegisteredModelDataset",
        ),
        (
            "marvel_kedro.datasets.nothing.NoDataset",
            "marvel_kedro.datasets.optional.NothingDataset",
        ),
    ],
)
def test_misspelt_class_in_old_module_gives_message_with_new_path(wrong: str, right: str) -> None:
    with pytest.raises(Exception, match="There is no") as caught:
        AbstractDataset.from_config("model", {"type": wrong})
    module = right.rpartition(".")[0]
    assert explain(caught.value) == (
        f"There is no {wrong}. The module is now {module}: write {right}."
    )


def test_server_runs_under_its_old_module_name() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "marvel_kedro.server", "no_such_file.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "marvel_kedro.server has moved: write marvel_kedro.serving." in done.stderr
    assert "Error: no_such_file.json cannot be read" in done.stderr


def test_finder_is_asked_last_and_only_once_installed() -> None:
    moved.install()
    finders = [finder for finder in sys.meta_path if isinstance(finder, moved._Finder)]
    assert len(finders) == 1
    assert sys.meta_path[-1] is finders[0]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("marvel_kedro.no_such_module")


@pytest.mark.parametrize("old", moved.MOVED)
def test_old_module_is_gone(old: str) -> None:
    """An old path that exists again must leave the table, which would never be asked about it."""
    (other,) = {finder for finder in sys.meta_path if isinstance(finder, moved._Finder)}
    parent = importlib.import_module(old.rpartition(".")[0])
    found = [
        finder.find_spec(old, list(parent.__path__))
        for finder in sys.meta_path
        if finder is not other and hasattr(finder, "find_spec")
    ]
    assert not any(found)
