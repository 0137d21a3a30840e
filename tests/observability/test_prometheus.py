"""A real Prometheus scrapes a real server and notifies a real Alertmanager.

Every query of the dashboards has an answer, and alerts of monitoring are notified once.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from observability.test_queries import DASHBOARDS, FOLDER, OF_DATABRICKS, dashboard_queries
from support.inference_traffic import make_traffic
from support.project import Project, clean_environment
from test_make import free_port

from marvel_kedro.monitoring.tables import ALERTS

SECONDS = 90
BODY = json.dumps({"dataframe_records": [{"name": "Anna"}]}).encode()

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(
        shutil.which("prometheus") is None and "CI" not in os.environ,
        reason="prometheus is not installed",
    ),
]


ALERTMANAGER = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
"""The command's name upstream and in Debian."""


def fetch(url: str, body: bytes | None = None) -> Any:
    request = urllib.request.Request(url, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
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


@contextmanager
def answering(answer: Callable[[BaseHTTPRequestHandler], tuple[int, bytes]]) -> Iterator[str]:
    """Run a server on loopback and yield its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answer(self)
            self.send_response(status)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Prometheus:
    address: str

    def ask(self, query: str) -> list[dict[str, Any]]:
        words = urllib.parse.urlencode({"query": query})
        answer = fetch(f"http://{self.address}/api/v1/query?{words}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def value(self, query: str) -> float | None:
        found = self.ask(query)
        return float(found[0]["value"][1]) if found else None

    def firing(self) -> set[str]:
        alerts = fetch(f"http://{self.address}/api/v1/alerts")["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def fill(self, query: str, chosen: dict[str, str]) -> str:
        """Fill the values of a dashboard's variables into a query."""
        for name, value in chosen.items():
            query = query.replace(f"${name}", value)
        return query

    def choose(self, path: Path) -> dict[str, str]:
        """Return all values of a dashboard's variables, as Grafana would offer them."""
        chosen: dict[str, str] = {}
        for variable in json.loads(path.read_text("utf-8"))["templating"]["list"]:
            values = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert values, variable
            found = {one["metric"][values[2]] for one in self.ask(self.fill(values[1], chosen))}
            if not found:
                return {}
            chosen[variable["name"]] = "|".join(sorted(found))
        return chosen

    def unanswered(self, path: Path) -> list[str]:
        chosen = self.choose(path)
        return [
            query for query in dashboard_queries(path) if not self.ask(self.fill(query, chosen))
        ]


@contextmanager
def prometheus(folder: Path, config: str, **changes: str) -> Iterator[Prometheus]:
    """Run Prometheus with a configuration of the project, every second instead of every minute."""
    shutil.copytree(FOLDER / "prometheus", folder)
    path = folder / config
    text = re.sub(r"_interval: \w+", "_interval: 1s", path.read_text("utf-8"))
    text = text.replace("scrape_timeout: 30s", "scrape_timeout: 1s")
    for before, after in changes.items():
        assert before in text, before
        text = text.replace(before, after)
    path.write_text(text, "utf-8")
    found = Prometheus(f"127.0.0.1:{free_port()}")
    words = [
        *("prometheus", f"--config.file={path}", f"--web.listen-address={found.address}"),
        f"--storage.tsdb.path={folder}/data",
    ]
    with process(words, folder, folder / "prometheus.log"):
        yield found


@contextmanager
def alertmanager(folder: Path, team: str, on_call: str) -> Iterator[str]:
    """Run Alertmanager with the project's routes, these addresses and short waits."""
    folder.mkdir()
    text = (FOLDER / "alertmanager/alertmanager.yml").read_text("utf-8")
    text = re.sub(r"group_(wait|interval): \w+", r"group_\1: 1s", text)
    for name, address in (("team", team), ("on_call", on_call)):
        (folder / name).write_text(f"http://{address}/{name}\n", "utf-8")
        text = text.replace(f"/run/secrets/alerts_{name}", str(folder / name))
    (folder / "alertmanager.yml").write_text(text, "utf-8")
    address = f"127.0.0.1:{free_port()}"
    assert ALERTMANAGER
    words = [
        *(ALERTMANAGER, f"--config.file={folder}/alertmanager.yml"),
        *(f"--storage.path={folder}/data", f"--web.listen-address={address}"),
        "--cluster.listen-address=",
    ]
    with process(words, folder, folder / "alertmanager.log"):
        yield address


def monitored(project: Project) -> None:
    """Monitor three days of drifted traffic and write alerts."""
    make_traffic(days=3, requests_a_day=150, challenger_share=0).write(project.path / "data")
    project.run("monitoring")
    found = [
        {"rule": "input_drift", "severity": "warning", "state": "open"},
        {"rule": "errors", "severity": "critical", "state": "acknowledged"},
    ]
    pq.write_table(
        pa.Table.from_pylist(found, schema=ALERTS),
        project.path / "data/08_reporting/alerts.parquet",
    )
    project.run("exporting")


def test_every_query_is_answered_and_alerts_reach_the_team(
    watched: Project, tmp_path: Path
) -> None:
    project = watched
    monitored(project)
    notified: list[tuple[str, str]] = []

    def take(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        body = json.loads(request.rfile.read(int(request.headers["content-length"])))
        notified.extend((request.path, attachment["text"]) for attachment in body["attachments"])
        return 200, b"ok"

    server = f"127.0.0.1:{free_port()}"
    serving = [sys.executable, "-m", "kedro", "serve", "--port", server.rpartition(":")[2]]
    with (
        answering(take) as people,
        alertmanager(tmp_path / "alertmanager", people, people) as manager,
        process(serving, project.path, tmp_path / "server.log"),
        prometheus(
            tmp_path / "prometheus",
            "prometheus.yml",
            **{"server:8080": server, "alertmanager:9093": manager},
        ) as asked,
    ):
        wait(lambda: fetch(f"http://{server}/health")["ready"])
        left: dict[str, list[str]] = {}

        def answered() -> bool:
            fetch(f"http://{server}/invocations", BODY)
            left.update({path.stem: asked.unanswered(path) for path in DASHBOARDS})
            return not any(left.values())

        with suppress(pytest.fail.Exception):
            wait(answered)
        assert left == {path.stem: [] for path in DASHBOARDS}

        picture = tmp_path / "monitoring.png"
        words = ("monitoring", "--prometheus", f"http://{asked.address}", "--hours", "0.05")
        subprocess.run(
            [sys.executable, FOLDER / "draw.py", *words, "--out", picture], check=True, timeout=120
        )
        assert picture.read_bytes().startswith(b"\x89PNG")

        wait(lambda: {"MarvelMonitoringWarning", "MarvelDrift"} <= asked.firing())
        monitoring = {"MarvelMonitoringWarning", "MarvelDrift", "MarvelQualityEstimatedLower"}
        assert asked.firing() <= monitoring | {"MarvelQualityLower"}
        wait(lambda: bool(notified))

        def suppressed() -> set[str]:
            return {
                one["labels"]["alertname"]
                for one in fetch(f"http://{manager}/api/v2/alerts")
                if one["status"]["inhibitedBy"]
            }

        wait(lambda: suppressed() == {"MarvelDrift"})
    assert {path for path, _ in notified} == {"/team"}
    assert any("Open alerts of monitoring's rule input_drift: 1." in text for _, text in notified)
    assert not any("are not distributed" in text for _, text in notified)


def test_a_databricks_endpoint_is_scraped_in_the_units_of_the_server(tmp_path: Path) -> None:
    """Metric names are documented, sample times were observed by others, labels are invented."""
    text = OF_DATABRICKS[1].read_text("utf-8")
    requested: list[tuple[str, str | None]] = []

    def export(request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        requested.append((request.path, request.headers["authorization"]))
        if request.headers["authorization"] != "Bearer secret":
            return 401, b"{}"
        ten_minutes_ago = int(time.time()) // 60 * 60_000 - 600_000
        return 200, text.replace("MINUTE", str(ten_minutes_ago)).encode()

    token = tmp_path / "token"
    token.write_text("secret\n", "utf-8")
    with (
        answering(export) as workspace,
        prometheus(
            tmp_path / "prometheus",
            "databricks.yml",
            **{
                "scheme: https": "scheme: http",
                "adb-0000000000000000.0.azuredatabricks.net": workspace,
                "/run/secrets/databricks_token": str(token),
            },
        ) as found,
    ):
        expected = {
            "endpoint:databricks_requests:rate1m": 2.0,
            "endpoint:databricks_request_errors:ratio": 0.05,
            "endpoint:databricks_cpu_usage:ratio": 0.425,
            "endpoint:databricks_memory_usage:ratio": 0.61,
            "endpoint:databricks_request_duration_seconds:p99_5m": 0.099,
            "databricks_endpoint_request_4xxs_last_minute": 3.0,
            "databricks_endpoint_provisioned_concurrency": 4.0,
        }
        wait(
            lambda: all(
                found.value(name) == pytest.approx(value) for name, value in expected.items()
            )
        )
        assert found.ask("endpoint:databricks_requests:rate1m")[0]["metric"]["endpoint"] == (
            "marvel_kedro_prd"
        )
        names = fetch(f"http://{found.address}/api/v1/label/__name__/values")["data"]
        assert not [name for name in names if name.startswith(("something", "request_", "cpu_"))]
    assert set(requested) == {
        ("/api/2.0/serving-endpoints/marvel_kedro_prd/metrics", "Bearer secret")
    }
