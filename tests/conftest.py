"""Fixtures that several folders of tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from support.project import ROOT, Project
from support.running_server import Store, make_store

import marvel_kedro.settings  # noqa: F401 - as Kedro does: files are written whole
from marvel_kedro.characters.options import SyntheticOptions
from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.predictor import CharacterModel
from marvel_kedro.table.cleaning import read_source, select_usable

SHARED_DATA = ROOT.parent / "shared" / "data"


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
    folder = tmp_path_factory.mktemp("template")
    for name in ("conf", "src"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "local")
        )
    (folder / "conf" / "local").mkdir()
    for layer in (ROOT / "data").iterdir():
        (folder / "data" / layer.name).mkdir(parents=True)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, folder)
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    return folder


@pytest.fixture(autouse=True)
def _no_store_of_another_test() -> Iterator[None]:
    """MLflow keeps an address that was set, and leaves it in variables that the project heeds."""
    _forget_store()
    assert mlflow.active_run() is None, "a test before has left its run open"
    yield
    # Fixtures of the next module are made before this one is asked again.
    _forget_store()


def _forget_store() -> None:
    # Not by monkeypatch, which would bring back what the test before has left.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    mlflow.set_registry_uri(None)  # type: ignore[arg-type] # as kedro-mlflow does
    os.environ.pop("MLFLOW_REGISTRY_URI", None)  # which that has set


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """A project that nothing has run in."""
    shutil.copytree(template, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def trained(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a small champion."""
    folder = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(template, folder)
    few = {"max_trees": 20, "folds": 2}
    Project(folder).run(synthetic={"rows": 1500}, training={"fit": few})
    return folder


@pytest.fixture
def watched(trained: Path, tmp_path: Path) -> Project:
    """A project with a champion that has answered nobody yet."""
    shutil.copytree(trained, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture(scope="session")
def synthetic_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3,000 synthetic rows."""
    path = tmp_path_factory.mktemp("raw") / "raw.csv"
    RawCSVDataset(filepath=str(path)).save(make_characters(SyntheticOptions(rows=3000, seed=7)))
    return path


@pytest.fixture(scope="session")
def characters(synthetic_path: Path) -> pd.DataFrame:
    """The table made from the 3,000 rows."""
    raw = pd.read_csv(synthetic_path, dtype="str", keep_default_na=False)
    return select_usable(read_source(raw)).reset_index(drop=True)


@pytest.fixture(scope="session")
def model(characters: pd.DataFrame) -> CharacterModel:
    """A model fitted to all of them."""
    return fit(characters, FitOptions())


@pytest.fixture(scope="session")
def registered(characters: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two small versions in a registry that nobody changes."""
    few = characters.head(600)
    options = [FitOptions(max_trees=20, folds=2, learning_rate=rate) for rate in (0.05, 0.2)]
    models = [fit(few, each) for each in options]
    return make_store(tmp_path_factory.mktemp("registered"), models)


@pytest.fixture
def store(registered: Store, tmp_path: Path) -> Store:
    """The same registry, to change."""
    return registered.copy_to(tmp_path / "store")
