"""Unreachable registries, broken versions, aliases and traffic that change under load."""

import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import mlflow
import pytest
import requests
import yaml
from support.project import clean_environment
from support.running_server import MODEL, Load, Server, Store, describe, running, until

from marvel_kedro.serving import traffic_shift
from marvel_kedro.serving.models import loaded_model

pytestmark = pytest.mark.fault

POLL = 0.5  # seconds, see describe
IMPORTS = 8.0  # limit for the import of MLflow, before the first query, on a busy machine
MOVE = 15.0  # limit for the switch to a new version, on a busy machine


@contextmanager
def registry_at(port: int, store: Store, folder: Path) -> Iterator[None]:
    """Run MLflow's own server."""
    with (folder / "mlflow.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1",
             "--backend-store-uri", store.uri,
             "--default-artifact-root", str(folder / "mlartifacts")],
            stdout=log, stderr=log, env=clean_environment(), start_new_session=True,
        )  # fmt: skip
        try:
            until(lambda: requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok)
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


def test_server_starts_without_a_registry_and_serves_on_when_it_disappears(
    tmp_path: Path, store: Store
) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    description = describe(tmp_path)
    with running(description, address, wait=False) as server:
        until(lambda: "registry" in server.ask("/health").json()["faults"].lower()
              or "champion" in server.ask("/health").json()["faults"])  # fmt: skip
        answer = server.ask("/health")
        assert answer.status_code == 503
        assert answer.json()["ready"] is False
        refused = server.invoke()
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        until(lambda: server.metric("marvel_deployment_faults") >= 1, 10)
        with registry_at(port, store, tmp_path):
            until(lambda: server.ask("/health").status_code == 200)
            assert server.serves() == {"champion": "1"}
            until(lambda: server.metric("marvel_deployment_faults") == 0)
            assert server.version()["faults"] == ""
        until(lambda: server.metric("marvel_deployment_faults") >= 1)
        until(lambda: "Version 1 stays in service" in server.version()["faults"])
        assert server.invoke().status_code == 200
        assert server.ask("/health").status_code == 200
    with running(description, address) as server:
        assert server.serves() == {"champion": "1"}
        assert server.invoke().status_code == 200
        assert "Traceback" not in server.stderr


def test_silent_registry_is_noticed_after_one_timeout(tmp_path: Path, store: Store) -> None:
    """It accepts connections and answers nothing; `kedro serve` leaves the retries of runs."""
    description = store.fetch(describe(tmp_path))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with running(
            description,
            address,
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="4",
            MLFLOW_HTTP_REQUEST_TIMEOUT="2",
        ) as server:
            begin = time.monotonic()
            until(lambda: "timed out" in server.version()["faults"], 20)
            assert time.monotonic() - begin < 4.0 + IMPORTS
            assert server.metric("marvel_registry_last_answer_timestamp_seconds") == 0
            assert server.invoke().status_code == 200
    with running(description, store.uri) as server:
        until(lambda: server.version()["faults"] == "", 10)
        answered = server.metric("marvel_registry_last_answer_timestamp_seconds")
        assert abs(time.time() - answered) < 10


def cut(name: str) -> Callable[[Path], None]:
    def change(files: Path) -> None:
        path = files / "artifacts" / "model" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return change


def without_description(files: Path) -> None:
    (files / "MLmodel").unlink()


def sealed(files: Path) -> None:
    """Update the digest to the changed files."""
    described = yaml.safe_load((files / "MLmodel").read_text())
    parts = [
        part
        for path in sorted((files / "artifacts" / "model").glob("*"))
        if path.is_file() and path.name != "description.json"
        for part in (path.name.encode(), path.read_bytes())
    ]
    described["metadata"]["model_digest"] = hashlib.sha256(b"\0".join(parts)).hexdigest()
    (files / "MLmodel").write_text(yaml.safe_dump(described))
    loaded_model.check(files)


def raising(files: Path) -> None:
    code = files / "artifacts" / "model" / "predictor.py"
    code.write_text(code.read_text() + "\nraise RuntimeError('broken on purpose')\n")
    sealed(files)


def without_signature(files: Path) -> None:
    described = yaml.safe_load((files / "MLmodel").read_text())
    del described["signature"]
    (files / "MLmodel").write_text(yaml.safe_dump(described))


def says(server: Server, fault: str) -> bool:
    return fault in server.version()["faults"]


def test_broken_version_leaves_the_previous_one_in_service(tmp_path: Path, store: Store) -> None:
    broken = {
        store.add_version(cut("booster.txt")): "not those that were registered",
        store.add_version(cut("encoder.json")): "not those that were registered",
        store.add_version(without_description): "cannot be used",
        store.add_version(raising): "broken on purpose",
        store.add_version(without_signature): "signature",
    }
    description = store.fetch(describe(tmp_path))
    with running(description, store.uri) as server:
        for version, why in broken.items():
            store.point("champion", version)
            until(partial(says, server, f"version {version}"), 20)
            faults = server.version()["faults"]
            assert why in faults
            assert "Version 1 stays in service" in faults
            assert str(tmp_path) not in faults
            assert server.serves() == {"champion": "1"}
            assert server.invoke().status_code == 200
            until(lambda: server.metric("marvel_deployment_faults") == 1)
        until(lambda: server.metric("marvel_served_version", model_version="1") == 1, 10)
        assert server.metric("marvel_served_version") == 1
    # The last one still has the alias.
    with running(description, store.uri) as server:
        until(lambda: "cannot be used" in server.version()["faults"])
        assert server.serves() == {"champion": "1"}
        store.point("champion", "2")
        until(lambda: server.serves() == {"champion": "2"}, 20)
        until(lambda: server.version()["faults"] == "")
        until(lambda: server.metric("marvel_deployment_faults") == 0)
        assert "Traceback" not in server.stderr


@pytest.mark.parametrize(("change", "why"), [
    pytest.param(cut("booster.txt"), "not those that were registered", marks=pytest.mark.slow),
    (raising, "broken on purpose"),
])  # fmt: skip
def test_broken_version_at_the_first_start_is_reported_until_it_is_replaced(
    change: Callable[[Path], None], why: str, tmp_path: Path, store: Store
) -> None:
    store.point("champion", store.add_version(change))
    with running(describe(tmp_path), store.uri, wait=False) as server:
        until(lambda: why in server.ask("/health").json()["faults"])
        assert server.ask("/health").status_code == 503
        assert server.ask("/ping").status_code == 200
        workers = server.workers
        time.sleep(1.5)
        assert server.workers == workers
        assert server.metric("marvel_worker_restarts_total") == 0
        store.point("champion", "2")
        until(lambda: server.ask("/health").status_code == 200, 20)
        assert server.serves() == {"champion": "2"}
        assert "Traceback" not in server.stderr


@pytest.mark.parametrize("is_there", [True, False], ids=["registry", "no registry"])
def test_truncated_copy_is_never_loaded_and_fetched_again_if_possible(
    is_there: bool, tmp_path: Path, store: Store
) -> None:
    """LightGBM kills the process that loads it."""
    description = store.fetch(describe(tmp_path))
    (copy,) = description.server.models.glob("1-*")
    cut("booster.txt")(copy)
    address = store.uri if is_there else f"http://127.0.0.1:{free_port()}"
    with running(description, address, wait=is_there) as server:
        if is_there:
            assert server.invoke().status_code == 200
            until(lambda: server.version()["faults"] == "", 10)
        else:
            until(partial(says, server, "damaged"), 20)
            assert server.ask("/ping").status_code == 200
            assert server.ask("/health").status_code == 503
            assert server.invoke().json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
            # The published version is not served.
            assert server.metric("marvel_workers_ready") == 0
            assert server.metric("marvel_served_version") == 0
            assert server.metric("marvel_traffic_percent") == 0
        until(lambda: (server.metric("marvel_deployment_faults") == 0) == is_there, 10)
        assert server.metric("marvel_worker_restarts_total") == 0


def with_scikit_learn(files: Path) -> None:
    code = files / "artifacts" / "model" / "predictor.py"
    code.write_text(code.read_text() + "\nfrom sklearn.linear_model import LogisticRegression\n")
    sealed(files)


def foreign(files: Path) -> None:
    """Replace the model by one of LightGBM's classes for scikit-learn, not of this project."""
    (files / "artifacts" / "model" / "predictor.py").unlink()
    described = yaml.safe_load((files / "MLmodel").read_text())
    del described["metadata"]["model_digest"]
    (files / "MLmodel").write_text(yaml.safe_dump(described))
    (files / "pyfunc.py").write_text(FOREIGN_MODEL)


FOREIGN_MODEL = """
import pandas as pd
from lightgbm import LGBMClassifier
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ForeignModel(PythonModel):
    def load_context(self, context):
        rows = pd.DataFrame({"height": [1.0, 2.0] * 50})
        self.model = LGBMClassifier(n_estimators=9).fit(rows, rows["height"] > 1.5)

    def predict(self, context, model_input, params=None):
        alive = self.model.predict_proba(model_input[["height"]])[:, 1]
        labels = ["Alive" if one > 0.5 else "Dead" for one in alive]
        return pd.DataFrame({"prediction": labels, "probability": alive})


set_model(ForeignModel())
"""


def has_champion(server: Server, version: str) -> bool:
    return server.serves() == {"champion": version}


def test_models_that_need_scikit_learn_are_served(tmp_path: Path, store: Store) -> None:
    """At the first start, as a replacement, and before and after a model without it."""
    own, other = store.add_version(with_scikit_learn), store.add_version(foreign)
    store.point("champion", own)
    description = describe(tmp_path)
    with running(description, store.uri) as server:
        assert server.serves() == {"champion": own}
        first = server.invoke().json()
        for version in (other, "1", other, own):
            store.point("champion", version)
            until(partial(has_champion, server, version))
            assert server.version()["faults"] == ""
            if version == other:
                tall, small = server.invoke([{"height": 2}, {"height": 1}]).json()["predictions"]
                assert (tall["prediction"], small["prediction"]) == ("Alive", "Dead")
            else:
                assert server.invoke().json() == first
        assert "Traceback" not in server.stderr


def test_aliases_and_traffic_change_under_load_without_a_failed_request(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.uri)
    mlflow.set_tracking_uri(store.uri)
    description = store.fetch(describe(tmp_path, workers=2))
    options = description.endpoint
    with running(description, store.uri) as server:
        until(lambda: server.metric("marvel_traffic_percent", served_entity="champion") == 100)
        with Load(server) as load:
            until(lambda: len(load.answers) > 100)
            first = load.answers[0].body
            # The alias moves.
            moved = time.time()
            store.point("champion", "2")
            until(lambda: load.answers[-1].body != first, POLL + MOVE, every=0.02)
            print(f"the new version answered after {time.time() - moved:.1f} s")
            time.sleep(1.5)  # for the other worker
            before = len(load.answers)
            time.sleep(0.5)
            late = {answer.body for answer in load.answers[before:]}
            assert len(late) == 1
            assert first not in late
            # The challenger gets a share.
            store.point("challenger", "1")
            until(lambda: server.serves() == {"champion": "2", "challenger": "1"}, 20)
            assert traffic_shift.shift(options, {"champion": 70, "challenger": 30})
            until(lambda: server.version()["traffic"]["challenger"] == 30, 20)
            time.sleep(1)
            at_30 = shares(load, 2)
            assert 0.2 < share(at_30) < 0.4
            assert traffic_shift.shift(options, {"champion": 40, "challenger": 60})
            until(lambda: server.version()["traffic"]["challenger"] == 60, 20)
            time.sleep(1)
            at_60 = shares(load, 2)
            assert 0.5 < share(at_60) < 0.7
            # Clients of the challenger stay there.
            assert challenged(at_30) <= challenged(at_60)
            # Invalid tags change nothing.
            tag = f"endpoint.{options.name}.traffic"
            for invalid in ("{", "[]", '{"champion": 1e999}', '{"stranger": 100}', "[" * 9999):
                store.client().set_registered_model_tag(MODEL, tag, invalid[:4999])
                until(lambda: "no traffic" in server.version()["faults"], 20)
                assert server.version()["traffic"] == {"champion": 40, "challenger": 60}
            until(lambda: server.metric("marvel_deployment_faults") == 1, 10)
            assert traffic_shift.shift(options, {"champion": 40, "challenger": 60})
            until(lambda: server.version()["faults"] == "", 20)
            # Without a champion the challenger serves all.
            store.client().delete_registered_model_alias(MODEL, "champion")
            until(lambda: server.serves() == {"challenger": "1"}, 20)
            time.sleep(1)
            assert load.served(0.5).keys() == {"challenger"}
    assert not load.failures
    assert {answer.status for answer in load.answers} == {200}
    server.check_rows([answer.request_id for answer in load.answers])
    rows = server.rows()
    rows = rows[rows["databricks_request_id"].isin([answer.request_id for answer in load.answers])]
    assert rows["served_entity_id"].nunique() == 3
    assert "Traceback" not in server.stderr


def shares(load: Load, seconds: float) -> dict[tuple[str, str], int]:
    """Count the answers by client request id and served entity."""
    before = len(load.answers)
    time.sleep(seconds)
    return Counter(
        (str(answer.client_request_id), str(answer.served)) for answer in load.answers[before:]
    )


def share(found: dict[tuple[str, str], int]) -> float:
    return len(challenged(found)) / len({name for name, _ in found})


def challenged(found: dict[tuple[str, str], int]) -> set[str]:
    names = {name for name, served in found if served == "challenger"}
    assert not names & {name for name, served in found if served == "champion"}, "not sticky"
    return names
