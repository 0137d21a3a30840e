"""A real Prometheus asks a real server: every query of the dashboards has an answer."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from observability.test_queries import DASHBOARDS, FOLDER, dashboard_queries
from support import Project, clean_environment
from test_make import free_port

SECONDS = 90
BODY = json.dumps({"dataframe_records": [{"name": "Anna"}]}).encode()

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(
        shutil.which("prometheus") is None and "CI" not in os.environ,
        reason="prometheus is not installed",
    ),
]


def fetch(url: str, body: bytes | None = None) -> Any:
    asked = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return json.load(answer)


def wait(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError):
            if true():
                return
        time.sleep(0.3)
    pytest.fail(f"not within {SECONDS} s")


@contextmanager
def process(words: list[str], folder: Path, log: Path, **environment: str) -> Iterator[None]:
    with (
        log.open("wb") as stream,
        subprocess.Popen(
            words,
            cwd=folder,
            env=clean_environment() | environment,
            stdout=stream,
            stderr=subprocess.STDOUT,
        ) as started,
    ):
        try:
            yield
        finally:
            started.send_signal(signal.SIGTERM)


def test_every_query_of_the_dashboards_is_answered(project: Project, tmp_path: Path) -> None:
    trained = project.kedro("run", "--params", "synthetic.rows=1500")
    assert trained.status == 0, trained.output
    server, prometheus = (f"127.0.0.1:{free_port()}" for _ in range(2))
    folder = tmp_path / "prometheus"
    shutil.copytree(FOLDER / "prometheus", folder)
    config = folder / "prometheus.yml"
    said = config.read_text("utf-8").replace("server:8080", server).replace("15s", "1s")
    config.write_text(said, "utf-8")
    asking = ["prometheus", f"--config.file={config}", f"--web.listen-address={prometheus}"]
    serving = [sys.executable, "-m", "kedro", "serve", "--port", server.rpartition(":")[2]]
    with (
        process(serving, project.path, tmp_path / "server.log"),
        process([*asking, f"--storage.tsdb.path={folder}/data"], folder, tmp_path / "prom.log"),
    ):
        wait(lambda: fetch(f"http://{server}/health")["ready"])
        missing = [query for path in DASHBOARDS for query in dashboard_queries(path)]

        def answered() -> bool:
            fetch(f"http://{server}/invocations", BODY)
            for query in tuple(missing):
                words = urllib.parse.urlencode({"query": query})
                if fetch(f"http://{prometheus}/api/v1/query?{words}")["data"]["result"]:
                    missing.remove(query)
            return not missing

        with suppress(pytest.fail.Exception):
            wait(answered)
        assert not missing
        alerts = fetch(f"http://{prometheus}/api/v1/alerts")["data"]["alerts"]
        assert [one["labels"]["alertname"] for one in alerts if one["state"] == "firing"] == []
