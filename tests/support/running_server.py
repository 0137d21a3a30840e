"""A server in processes of its own, with a real registry, for tests of errors and contracts.

    with running(describe(tmp_path), store.uri) as server:
        server.invoke([{"name": "Groot"}])

Standard output and error go to files in the server's folder; a failing test quotes them. The server
is stopped by SIGTERM and has to end by itself.
"""

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import mlflow
import pandas as pd
import psutil
import requests
from deltalake import DeltaTable
from mlflow import MlflowClient
from prometheus_client.parser import text_string_to_metric_families
from support.project import clean_environment
from support.table import TABLE

from marvel_kedro.model import registry
from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.models.registry_watch import Registry
from marvel_kedro.table.description import TableSpec

MODEL = "marvel_characters"
EXAMPLE: dict[str, Any] = {
    "name": "Example Character",
    "universe": "Earth-616",
    "identity": "Public",
    "gender": "Female",
    "marital_status": "Single",
    "teams": "First Team; Second Team",
    "origin": "Human mutate",
    "height": 1.78,
    "weight": 61.2,
}
RECORD = {"name": "Groot", "universe": "Earth-616", "origin": "Flora colossus"}
FAILS = 90.0  # seconds, after which a test that waits fails


@dataclass(frozen=True)
class Store:
    """An MLflow store whose versions 1 and 2 can be served; 1 is the champion."""

    folder: Path
    fetched: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    def client(self) -> MlflowClient:
        return MlflowClient(self.uri)

    def copy_to(self, folder: Path) -> "Store":
        """Copy the store so that a test can change it; the versions' files are shared."""
        folder.mkdir(parents=True)
        shutil.copy(self.folder / "mlflow.db", folder)
        return Store(folder, self.fetched)

    def fetch(self, description: ServingConfiguration) -> ServingConfiguration:
        """Give a server the fetched versions: it is ready sooner and without the registry."""
        copied = description.server.models
        if not copied.exists():
            shutil.copytree(self.fetched, copied)
        return description

    def point(self, alias: str, version: str) -> None:
        self.client().set_registered_model_alias(MODEL, alias, version)

    def add_version(self, change: Callable[[Path], Any], *, of: str = "1") -> str:
        """Register a copy of a version with changed files."""
        client = self.client()
        files = Path(mlflow_files(client, of))
        copy = self.folder / f"changed-{time.time_ns()}"
        shutil.copytree(files, copy)
        change(copy)
        return str(client.create_model_version(MODEL, source=str(copy)).version)


def mlflow_files(client: MlflowClient, version: str) -> str:
    """Return the folder of a version's files."""
    return client.get_model_version_download_uri(MODEL, version).removeprefix("file://")


def make_store(folder: Path, models: list[TabularModel]) -> Store:
    """Log and register models; the first one is the champion."""
    store = Store(folder, folder / "fetched")
    mlflow.set_tracking_uri(store.uri)
    try:
        MlflowClient().create_experiment("tests", artifact_location=str(folder / "artifacts"))
        mlflow.set_experiment("tests")
        for model in models:
            with mlflow.start_run():
                stdout = log_candidate(model, "model")
            registry.register(MODEL, stdout.model_uri, {"model_digest": model.digest})
        store.point("champion", "1")
        store.fetched.mkdir()
        fetched = Registry(describe(folder), store.fetched).refresh()
        assert not fetched.faults
    finally:
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type] # as conftest.py does
        for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
            os.environ.pop(name, None)
    return store


def describe(
    folder: Path,
    *,
    traffic: dict[str, int] | None = None,
    limits: dict[str, Any] | None = None,
    inference_table: dict[str, Any] | None = None,
    table: TableSpec = TABLE,
    **server: Any,
) -> ServingConfiguration:
    """Return the configuration of a server that polls and flushes often, on any free port."""
    return ServingConfiguration.model_validate(
        {
            "table": table.model_dump(),
            "endpoint": {
                "name": "marvel" if table is TABLE else table.name,
                "model": table.name,
                "served_entities": [
                    {"name": "champion", "alias": "champion"},
                    {"name": "challenger", "alias": "challenger"},
                ],
                "traffic": traffic or {"champion": 100, "challenger": 0},
                "inference_table": inference_table or {},
                "limits": limits or {},
            },
            "server": {
                "port": 0,
                "workers": 1,
                "folder": str(folder / "server"),
                "models": str(folder / "models"),
                "inference_table": str(folder / "tables" / "payload"),
                "online_records": str(folder / "online_records.db"),
                "poll_seconds": 0.5,
                "flush_seconds": 0.5,
            }
            | server,
        }
    )


@dataclass
class Server:
    """A server that runs, or has ended."""

    description: ServingConfiguration
    process: subprocess.Popen[bytes]
    output: Path
    errors: Path
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def stderr(self) -> str:
        """The standard error so far."""
        return self.errors.read_text(errors="replace")

    @property
    def stdout(self) -> str:
        """The standard output so far: a line per request."""
        return self.output.read_text(errors="replace")

    @property
    def port(self) -> int:
        (found,) = re.findall(r" at http://\S+:(\d+),", self.stderr)
        return int(found)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[int]:
        """The processes that answer."""
        found = []
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):  # it has just died
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child.pid)
        return found

    def ask(self, path: str, method: str = "GET", **options: Any) -> requests.Response:
        headers = self.headers | options.pop("headers", {})
        with requests.Session() as session:
            session.trust_env = False
            options.setdefault("timeout", 30)
            return session.request(method, self.url + path, headers=headers, **options)

    def invoke(self, records: list[dict[str, Any]] | None = None, **more: Any) -> requests.Response:
        """Score records; `more` are additional keys of the body."""
        body = {"dataframe_records": [RECORD] if records is None else records} | more
        return self.ask("/invocations", "POST", json=body)

    def version(self) -> Any:
        return self.ask("/version").json()

    def serves(self) -> dict[str, str]:
        """Return versions by served entity, of the worker that happens to answer."""
        return {one["name"]: one["entity_version"] for one in self.version()["served_entities"]}

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the samples with the name and the labels."""
        samples = [
            sample
            for family in text_string_to_metric_families(self.ask("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(sample.value for sample in samples)

    def rows(self) -> pd.DataFrame:
        """Return the inference table; empty if there is none yet."""
        path = self.description.server.inference_table
        if not DeltaTable.is_deltatable(str(path)):
            return pd.DataFrame({"databricks_request_id": []})
        return DeltaTable(path).to_pandas()

    def check_rows(self, request_ids: list[str]) -> None:
        """Assert that the table has these requests, each exactly once."""
        counts = Counter(self.rows()["databricks_request_id"])
        assert not [name for name, count in counts.items() if count > 1]
        missing = set(request_ids) - set(counts)
        assert not missing, f"{len(missing)} of {len(request_ids)} requests are not in the table"

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20) -> int:
        """Send a signal, and wait until the server has ended by itself."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait(seconds)

    def wait(self, seconds: float = 20) -> int:
        """Wait for the end and return the exit status."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server did not end within {seconds} s") from None


def until(true: Callable[[], Any], seconds: float = FAILS, every: float = 0.1) -> Any:
    """Wait for a condition; a server that does not answer fails it for the moment."""
    end = time.monotonic() + seconds
    while True:
        with contextlib.suppress(requests.RequestException, ValueError):
            if found := true():
                return found
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {getattr(true, '__name__', true)}")
        time.sleep(every)


def ready(server: Server) -> bool:
    assert server.process.poll() is None, "the server has ended"
    return server.ask("/health").status_code == 200


def start(
    description: ServingConfiguration,
    store_uri: str,
    pipes: tuple[int, int] | None = None,
    /,
    *,
    folder: Path | None = None,
    **environment: str,
) -> Server:
    """Start a server without waiting for it; `pipes` replace the files for its output."""
    folder = folder or description.server.folder.parent
    folder.mkdir(parents=True, exist_ok=True)
    number = len(list(folder.glob("*.err")))
    described = folder / "described.json"
    described.write_text(description.model_dump_json(), "utf-8")
    output, errors = folder / f"{number}.out", folder / f"{number}.err"
    with output.open("wb") as out, errors.open("wb") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "marvel_kedro.serving", str(described)],
            stdin=subprocess.DEVNULL,
            stdout=pipes[0] if pipes else out,
            stderr=pipes[1] if pipes else err,
            env=clean_environment() | {"MLFLOW_TRACKING_URI": store_uri} | environment,
            start_new_session=True,
        )
    return Server(description, process, output, errors)


@contextlib.contextmanager
def running(
    description: ServingConfiguration,
    store_uri: str,
    *,
    folder: Path | None = None,
    wait: bool = True,
    token: str | None = None,
    **environment: str,
) -> Iterator[Server]:
    """Run a server until the end of the block.

    Args:
        description: Its configuration.
        store_uri: Its registry.
        folder: Folder of its output; next to its own folder if None.
        wait: Whether to wait until it is ready.
        token: The token that `ask` sends; the server gets it in `environment`.
        environment: Additional variables.
    """
    server = start(description, store_uri, folder=folder, **environment)
    if token:
        server.headers["Authorization"] = f"Bearer {token}"
    try:
        until(lambda: " at http://" in server.stderr or server.process.poll() is not None)
        assert server.process.poll() is None, "the server has ended"
        if wait:
            until(lambda: ready(server))
        yield server
        if server.process.poll() is None:
            grace = description.server.grace_seconds
            assert server.stop(seconds=grace + 10) == 0
    except BaseException as error:
        error.add_note(f"--- standard error ---\n{server.stderr[-8000:]}")
        error.add_note(f"--- standard output ---\n{server.stdout[-4000:]}")
        raise
    finally:
        _end(server)


def _end(server: Server) -> None:
    """Kill the processes that a failed test has left."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if os.getsid(process.pid) == server.process.pid:
                process.kill()
    server.process.wait()


@dataclass(frozen=True)
class Answer:
    """An answer as a client receives it."""

    status: int
    request_id: str
    served: str | None
    client_request_id: str | None
    body: bytes
    time: float


class Load:
    """Clients that send requests until the block ends, each over its connection.

    Attributes:
        answers: The answers.
        failures: Errors instead of answers, with their times.
        broken: Number of errors on a connection that had been answered before.
    """

    def __init__(self, server: Server, clients: int = 4, pause: float = 0.01) -> None:
        self.answers: list[Answer] = []
        self.failures: list[tuple[float, BaseException]] = []
        self.broken = 0
        self._port, self._headers, self._pause = server.port, server.headers, pause
        self._going = True
        self._threads = [
            threading.Thread(target=self._ask, args=(number,)) for number in range(clients)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going = False
        for thread in self._threads:
            thread.join(FAILS)
            assert not thread.is_alive(), "a request hangs"

    def served(self, seconds: float) -> Counter[str | None]:
        """Count the served entities that answer during some seconds from now on."""
        before = len(self.answers)
        time.sleep(seconds)
        return Counter(answer.served for answer in self.answers[before:])

    def _ask(self, client: int) -> None:
        connection = self._connection()
        number, is_used = 0, False
        while self._going:
            number += 1
            name = f"{client}-{number % 50}"
            body = json.dumps({"dataframe_records": [RECORD], "client_request_id": name})
            headers = {"Content-Type": "application/json"} | self._headers
            try:
                connection.request("POST", "/invocations", body, headers)
                found = connection.getresponse()
                is_closed = found.will_close
                self.answers.append(
                    Answer(
                        found.status,
                        found.headers["x-request-id"],
                        found.headers["served-model-name"],
                        name,
                        found.read(),
                        time.time(),
                    )
                )
                is_used = not is_closed
            except (OSError, http.client.HTTPException) as error:
                self.failures.append((time.time(), error))
                self.broken += is_used
                is_used = False
                connection.close()
                connection = self._connection()
                time.sleep(0.02)
            time.sleep(self._pause)
        connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
