"""Each version of a model that this project has not made is served with its own code."""

import asyncio
import importlib
import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mlflow
import pytest
from support import foreign_code
from support.in_process import JSON, Answer, InProcess, started
from support.running_server import MODEL, Store, describe
from support.shared import make_once

from marvel_kedro.model import batch, isolation, registry
from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.models import loaded_model
from marvel_kedro.serving.models.deployment import Deployed, Deployment

SENT = json.dumps({"dataframe_records": foreign_code.RECORDS.to_dict("records")}).encode()
ENTITIES = {"champion": 50, "challenger": 50}
FORMS = list(foreign_code.FORMS)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """Two versions of every form, and what each predicts in a process of its own."""

    def make(folder: Path) -> None:
        command = [sys.executable, foreign_code.__file__, str(folder)]
        made = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        (folder / "answers.json").write_bytes(made.stdout)

    folder = make_once(tmp_path_factory, "foreign_code", make)
    return folder, json.loads((folder / "answers.json").read_text())


def publish(configuration: ServingConfiguration, folder: Path, **versions: str) -> None:
    """Publish a version for each served entity, as the supervisor would."""
    models = configuration.server.models
    models.mkdir(parents=True, exist_ok=True)
    for version in versions.values():
        if not (models / f"{version}-0").exists():
            (models / f"{version}-0").symlink_to(folder / version / "model")
    entities = tuple(
        Deployed(name=name, model=MODEL, version=version, folder=f"{version}-0")
        for name, version in versions.items()
    )
    Deployment(endpoint="marvel", entities=entities, traffic=ENTITIES).write(models)


def ask(endpoint: InProcess, times: int) -> dict[str, Any]:
    """Invoke at once; return the answer of each served entity, which must be the same always."""

    async def every() -> list[Answer]:
        call = endpoint.request_async
        return await asyncio.gather(
            *(call("POST", "/invocations", SENT, JSON) for _ in range(times))
        )

    found: dict[str, Any] = {}
    for answer in endpoint.loop.run_until_complete(every()):
        assert answer.status == 200, answer.body
        predictions = answer.json["predictions"]
        assert found.setdefault(answer.headers["served-model-name"], predictions) == predictions
    return found


@pytest.mark.parametrize("form", FORMS)
def test_two_versions_answer_as_in_processes_of_their_own(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path, form: str
) -> None:
    """Under load, after their aliases were exchanged, and without traces in the process."""
    folder, expected = saved[0] / form, saved[1][form]
    assert (expected["1"] != expected["2"]) == (form != "name of a module of MLflow")
    path, modules = list(sys.path), dict(sys.modules)
    configuration = describe(tmp_path / "server", traffic=ENTITIES)
    publish(configuration, folder, champion="1", challenger="2")
    with started(configuration) as endpoint:
        first = ask(endpoint, 16)
        assert first == {"champion": expected["1"], "challenger": expected["2"]}
        publish(configuration, folder, champion="2", challenger="1")
        deadline = time.monotonic() + 20
        while [served.version for served in endpoint.app._entities.served] != ["2", "1"]:
            assert time.monotonic() < deadline
            endpoint.loop.run_until_complete(asyncio.sleep(0.01))
        assert ask(endpoint, 16) == {"champion": expected["2"], "challenger": expected["1"]}
    assert sys.path == path
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    assert not [file for file in files if file and str(folder) in file]
    assert not [name for name in modules if sys.modules.get(name) is not modules[name]]


def test_two_champions_predict_as_in_processes_of_their_own(
    saved: tuple[Path, dict[str, Any]], store: Store
) -> None:
    """In this project's pipelines, and on the workers of an engine, which have only the files."""
    mlflow.set_tracking_uri(store.uri)
    folder, expected = saved[0] / "import in predict", saved[1]["import in predict"]
    models = {}
    for version, answer in expected.items():
        source = str(folder / version / "model")
        number = store.client().create_model_version(MODEL, source=source).version
        models[number] = registry.find(MODEL, number=str(number)), answer
    records = foreign_code.RECORDS.assign(page_id=["a", "b"])
    for model, answer in models.values():
        assert model is not None
        assert model.predict(records).to_dict("records") == answer
        scored = batch.score_records(records, "page_id", batch.pack(model.folder))
        assert scored.drop(columns="page_id").to_dict("records") == answer


def test_installed_module_that_another_model_uses_stays_as_it_is(
    saved: tuple[Path, dict[str, Any]],
) -> None:
    """In a process of its own, the model with a file of this name would use that file."""
    form = "name of an installed module"
    isolation.load_isolated(saved[0] / "session" / "1" / "model")
    installed = importlib.import_module("mailbox")
    model = isolation.load_isolated(saved[0] / form / "1" / "model")
    assert model.predict(foreign_code.RECORDS).to_dict("records") == saved[1][form]["1"]
    assert sys.modules["mailbox"] is installed


def test_model_that_cannot_be_loaded_leaves_nothing(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    files = shutil.copytree(saved[0] / "loader" / "1" / "model", tmp_path / "model")
    (files / "code" / "modelled.py").write_text("import helper\n1 / 0")
    before = list(sys.path), set(sys.modules)
    with pytest.raises(ZeroDivisionError):
        loaded_model.load(files)
    assert sys.path == before[0]
    assert not {"helper", "modelled"} & set(sys.modules)


def test_script_without_a_model_is_not_given_the_model_of_another(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    loaded_model.load(saved[0] / "script" / "1" / "model")
    files = shutil.copytree(saved[0] / "script" / "1" / "model", tmp_path / "model")
    (files / "script.py").write_text("")
    with pytest.raises(Exception, match="set_model"):
        loaded_model.load(files)


def test_calls_of_one_model_run_at_once_and_one_that_hangs_does_not_stop_the_others(
    saved: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calls of a model that wait for each other end; another model waits for a limited time."""
    folder, expected = saved[0] / "import in predict", saved[1]["import in predict"]
    slow, other = (isolation.load_isolated(folder / each / "model") for each in ("1", "2"))
    meet, hang = threading.Barrier(2), threading.Event()
    impl = slow._model_impl.python_model
    predict = type(impl).predict

    def wait(*args: Any, **options: Any) -> Any:
        meet.wait(20)
        hang.wait(20)
        return predict(impl, *args, **options)

    impl.predict = wait
    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(slow.predict, foreign_code.RECORDS) for _ in range(2)]
        while len(isolation._Modules._users) < 2:
            time.sleep(0.01)
        monkeypatch.setattr(isolation, "_PATIENCE", 0.1)
        with pytest.raises(Exception, match="another model with code of its own is busy"):
            other.predict(foreign_code.RECORDS)
        hang.set()
        for call in calls:
            assert call.result().to_dict("records") == expected["1"]
    assert other.predict(foreign_code.RECORDS).to_dict("records") == expected["2"]


@pytest.mark.parametrize("form", ["path", "session"])
def test_versions_that_are_loaded_while_others_predict_stay_apart(
    saved: tuple[Path, dict[str, Any]], form: str
) -> None:
    def load_and_predict(number: int) -> bool:
        version = str(number % 2 + 1)
        model = isolation.load_isolated(saved[0] / form / version / "model")
        answers = [model.predict(foreign_code.RECORDS).to_dict("records") for _ in range(4)]
        return answers == [saved[1][form][version]] * 4

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(load_and_predict, range(24)))
