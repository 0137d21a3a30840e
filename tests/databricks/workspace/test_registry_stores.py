"""The project's registry functions over an SQLite store, MLflow's server and Unity Catalog."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import requests
from support.project import clean_environment
from support.workspace.host import SCHEMA

from marvel_kedro.model import registry
from marvel_kedro.model.aliases import find_version, move_alias
from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.model.registry import LoggedModel
from marvel_kedro.table.options import RecordedSplit

NAME = f"{SCHEMA}.marvel_characters"


@pytest.fixture(scope="module", autouse=True)
def server(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server, which starts while the other stores are tested."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(template / "mlflow.db", folder)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    options = {
        "backend-store-uri": f"sqlite:///{folder}/mlflow.db",
        "artifacts-destination": str(folder / "files"),
        "host": "127.0.0.1",
        "port": str(port),
        "workers": "1",
    }
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *words],
        cwd=folder,
        env=clean_environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)  # with its worker
        process.wait()


def _answering(address: str) -> str:
    for _ in range(300):
        try:
            if requests.get(f"{address}/health", timeout=1).ok:
                return address
        except requests.ConnectionError:
            time.sleep(0.1)
    raise TimeoutError(address)


@pytest.fixture(params=["sqlite", "workspace", "server"])
def logged(
    request: pytest.FixtureRequest,
    server: str,
    template: Path,
    model: TabularModel,
    tmp_path: Path,
) -> LoggedModel:
    """A model that a run has logged, in each of the stores."""
    if request.param == "server":
        mlflow.set_tracking_uri(_answering(server))
        experiment = mlflow.create_experiment(tmp_path.name)
    else:
        shutil.copy(template / "mlflow.db", tmp_path)
        mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
        experiment = mlflow.create_experiment("e", artifact_location=(tmp_path / "files").as_uri())
    if request.param == "workspace":
        request.getfixturevalue("host")
        mlflow.set_registry_uri("databricks-uc")
    with mlflow.start_run(experiment_id=experiment) as run:
        uri = log_candidate(model, "m").model_uri
    return LoggedModel(uri, run.info.run_id, model.digest)


def register(logged: LoggedModel, digest: str) -> str:
    tags = registry.version_tags(logged, "file", "0" * 16, RecordedSplit(by="group", column="name"))
    return registry.register(NAME, logged.uri, tags | {"model_digest": digest})


def version(alias: str) -> str | None:
    found = find_version(NAME, alias=alias)
    return str(found.version) if found else None


def test_model_is_registered_promoted_and_loaded_in_every_store(
    logged: LoggedModel, model: TabularModel
) -> None:
    assert registry.find(NAME, "champion") is None  # no model

    assert register(logged, "first") == "1"
    assert registry.find(NAME, "champion") is None  # no alias
    move_alias(NAME, "champion", "1")
    assert register(logged, "first") == "1"  # a rerun
    assert [register(logged, digest) for digest in ("second", "third")] == ["2", "3"]
    assert register(logged, "first") == "1"  # on the second page of a search, if pages are short

    move_alias(NAME, "challenger", "2")
    assert (version("champion"), version("challenger")) == ("1", "2")
    move_alias(NAME, "champion", "2")
    assert (version("champion"), version("challenger")) == ("2", None)

    champion = registry.find(NAME, "champion")
    assert champion
    assert champion.version == "2"
    assert champion.split == RecordedSplit(by="group", column="name")
    assert champion.data_source == "file"
    records = pd.DataFrame([{"height": 2.0}, {}])
    expected = model.predict(records)["probability"].tolist()
    assert champion.predict(records)["probability"].tolist() == expected
    loaded = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    assert loaded.metadata.metadata["model_digest"] == model.digest
    assert loaded.metadata.metadata["table"] == model.description["table"]
    assert mlflow.pyfunc.load_model(logged.uri)  # the run keeps its model
