"""Fixtures that several folders of tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from hypothesis import settings
from mlflow import MlflowClient
from support.project import ROOT, Project, reset_store
from support.running_server import Store, make_store
from support.shared import make_once
from support.table import TABLE, copy_configuration

import marvel_kedro.settings  # noqa: F401 - as Kedro does: files are written whole
from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table.cleaning import read_source, select_usable

# `make test` tries few examples of each property; `make test-all` passes --hypothesis-profile=full.
settings.register_profile("quick", max_examples=25, deadline=None)
settings.register_profile(
    "full", max_examples=200, deadline=None, derandomize="CI" in os.environ, print_blob=True
)
settings.load_profile("quick")

SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.hookimpl(tryfirst=True)  # before `-m` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests on Apache Spark as slow."""
    for item in items:
        if item.get_closest_marker("spark"):
            item.add_marker("slow")


def _shared(name: str) -> Path:
    path = SHARED_DATA / name
    if not path.exists():
        pytest.skip(f"the real rows are not here: {path}")
    return path


@pytest.fixture(scope="session")
def real_sample_path() -> Path:
    """1,998 real rows in the source's own columns."""
    return _shared("marvel_characters_sample.csv")


@pytest.fixture(scope="session")
def other_schema_path() -> Path:
    """A real file of the same wiki with other columns."""
    return _shared("marvel-wikia-data.csv")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's files and an empty MLflow store, which takes seconds to make."""
    return make_once(tmp_path_factory, "template", _make_template)


def _make_template(folder: Path) -> None:
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    copy_configuration(folder / "conf")
    for layer in (ROOT / "data").iterdir():
        (folder / "data" / layer.name).mkdir(parents=True)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder)
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()


@pytest.fixture(scope="session")
def empty_store(template: Path) -> Path:
    """The file of an MLflow store without runs and models, to copy."""
    return template / "mlflow.db"


@pytest.fixture(autouse=True)
def _no_store_of_another_test() -> Iterator[None]:
    """Reset MLflow's tracking and registry URI, also those in the environment."""
    reset_store()
    assert mlflow.active_run() is None, "an earlier test has left its run open"
    yield
    # Fixtures of the next module are made before this one.
    reset_store()


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A project in which nothing has run."""
    shutil.copytree(template, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def trained(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a small champion, to copy."""

    def make(folder: Path) -> None:
        shutil.copytree(template, folder)
        fit = {"max_trees": 20, "folds": 2}
        Project(folder).run(synthetic={"rows": 1500}, training={"fit": fit})

    return make_once(tmp_path_factory, "trained", make)


@pytest.fixture
def watched(trained: Path, tmp_path: Path) -> Project:
    """A project with a champion and without requests."""
    shutil.copytree(trained, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def synthetic_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 synthetic rows."""

    def make(folder: Path) -> None:
        rows = make_characters(SyntheticOptions(rows=3000, seed=7))
        RawCSVDataset(filepath=str(folder / "raw.csv")).save(rows)

    return make_once(tmp_path_factory, "synthetic", make) / "raw.csv"


@pytest.fixture(scope="session")
def characters(synthetic_path: Path) -> pd.DataFrame:
    """The table made from the 3,000 rows."""
    raw = pd.read_csv(synthetic_path, dtype="str", keep_default_na=False)
    return select_usable(read_source(raw, TABLE), TABLE).reset_index(drop=True)


@pytest.fixture(scope="session")
def model(characters: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> TabularModel:
    """A model fitted on all of them."""

    def make(folder: Path) -> None:
        fit(characters, TABLE, FitOptions()).save(folder)

    return TabularModel.load(make_once(tmp_path_factory, "model", make))


@pytest.fixture(scope="session")
def registered(
    characters: pd.DataFrame, empty_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Store:
    """A registry with two small versions, to read."""

    def make(folder: Path) -> None:
        few = characters.head(600)
        options = [FitOptions(max_trees=20, folds=2, learning_rate=rate) for rate in (0.05, 0.2)]
        folder.mkdir()
        shutil.copy(empty_store, folder)
        make_store(folder, [fit(few, TABLE, each) for each in options])

    folder = make_once(tmp_path_factory, "registered", make)
    return Store(folder, folder / "fetched")


@pytest.fixture
def store(registered: Store, tmp_path: Path) -> Store:
    """A copy of the registry, to change."""
    return registered.copy_to(tmp_path / "store")
