"""`kedro traffic` against an HTTP server in this process."""

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from kedro.framework.startup import bootstrap_project
from support.churn import CHURN, customers
from support.project import Project

from marvel_kedro import cli
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.project import configuration
from marvel_kedro.simulation import traffic_replay
from marvel_kedro.simulation.traffic import local_url
from marvel_kedro.simulation.traffic_plan import Request
from marvel_kedro.simulation.world import synthetic_world


class Endpoint:
    """Records requests, and responds with `answer`."""

    def __init__(self) -> None:
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.began: list[float] = []
        self.paths: set[str] = set()
        self.answer: Callable[[int], tuple[int, bytes]] = lambda _: (200, b'{"predictions": []}')
        self.url = ""
        self.stop: Callable[[], None]

    def take(self, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.began.append(time.perf_counter())
        self.paths.add(path)
        self.headers.append(headers)
        self.bodies.append(body)
        return self.answer(len(self.bodies))


@contextmanager
def served() -> Iterator[Endpoint]:
    endpoint = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            status, content = endpoint.take(self.path, dict(self.headers), body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            self.send_header("served-model-name", "champion" if status == 200 else "")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    endpoint.url = f"http://127.0.0.1:{server.server_port}"

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    endpoint.stop = stop
    try:
        yield endpoint
    finally:
        stop()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with served() as made:
        yield made


@pytest.fixture
def run(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    bootstrap_project(project.path)
    monkeypatch.chdir(project.path)

    def invoke(*arguments: str) -> Result:
        result = CliRunner().invoke(cli.traffic, list(arguments))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke


def test_traffic_sends_every_request_once_and_writes_late_labels(
    endpoint: Endpoint,
    run: Callable[..., Result],
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MARVEL_TOKEN", "open-sesame")
    endpoint.answer = lambda number: (429, b"too many") if number == 7 else (200, b"{}")
    result = run(
        *("--url", endpoint.url, "--rate", "2000", "--requests", "40", "--days", "3"),
        *("--start", "2026-03-01", "--records", "2", "--scenario", "prior"),
        *("--drift-from-day", "3", "--label-delay-days", "1"),
    )
    assert result.exit_code == 0, result.output
    bodies = [json.loads(body) for body in endpoint.bodies]
    pages = [record["page_id"] for body in bodies for record in body["dataframe_records"]]
    assert len(pages) == len(set(pages)) == 240
    assert endpoint.paths == {"/invocations"}
    assert {headers["authorization"] for headers in endpoint.headers} == {"Bearer open-sesame"}
    times = sorted(headers["x-simulated-time"] for headers in endpoint.headers)
    assert (times[0], times[-1]) == ("2026-03-01T00:00:00.000Z", "2026-03-03T23:24:00.000Z")

    assert "open-sesame" not in result.output
    for text in ("day  2  2026-03-02  calm", "day  3  2026-03-03  prior", "120 requests in",
                  "status    200 119   429 1", "entity    champion 119", "429 response: too many",
                  "labels    160 added to"):  # fmt: skip
        assert text in result.output, text
    labels = project.table("labels")
    assert set(labels["page_id"]) <= set(pages)
    assert labels["page_id"].nunique() == 160  # the last day's labels are due after it
    assert labels["labelled_at"].max() < pd.Timestamp("2026-03-04", tz="UTC")


def test_traffic_and_synthetic_rows_of_another_table(
    endpoint: Endpoint, run: Callable[..., Result], project: Project
) -> None:
    described = yaml.safe_dump({"table": CHURN.model_dump(mode="json", exclude_defaults=True)})
    (project.path / "conf" / "local" / "table.yml").write_text(described)
    words = [*("--url", endpoint.url, "--rate", "5000", "--requests", "100", "--days", "2")]
    words += ["--scenario", "concept", "--magnitude", "1", "--drift-from-day", "2"]
    refused = run(*words)
    assert refused.exit_code == 1
    assert "test_set is not there, from which customers are drawn: kedro run" in refused.output

    rows = customers()
    (project.path / "data" / "05_model_input").mkdir(parents=True, exist_ok=True)
    rows.to_parquet(project.path / "data" / "05_model_input" / "test_set.parquet", index=False)
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert "from day 2: concept drift: Yes and No are exchanged for" in result.output
    assert "of the customers, those with" in result.output
    sent = [json.loads(body)["dataframe_records"][0] for body in endpoint.bodies]
    assert set(sent[0]) == {CHURN.key, *CHURN.inputs}
    labels = project.table("labels")
    assert list(labels) == [CHURN.key, CHURN.target.column, "labelled_at"]
    assert set(labels[CHURN.key]) <= {record[CHURN.key] for record in sent}
    assert set(labels[CHURN.target.column]) == {"Yes", "No"}

    outcome = project.cli("--pipelines", "synthetic")
    assert outcome.status == 1
    assert outcome.output.count("Error:") == 1
    assert "no rows of the table churn" in " ".join(outcome.output.split())
    assert "customers.csv" in outcome.output.replace("\n", "")
    assert not list(project.path.glob("data/01_raw/*.csv"))


@pytest.mark.parametrize(
    ("world", "words"),
    [
        (
            None,
            "can generate no rows of the table churn. Put its file at data/01_raw/customers.csv",
        ),
        ("marvel_kedro.nowhere.World", "world is marvel_kedro.nowhere.World, which cannot be"),
        ("yaml.World", "name a class, such as package.module.Class, or leave the key out"),
    ],
)
def test_world_that_is_not_there_is_named(world: str | None, words: str) -> None:
    with pytest.raises(ProjectError, match=re.escape(words)):
        synthetic_world(CHURN.model_copy(update={"world": world}))


def test_same_seed_sends_same_bodies(run: Callable[..., Result]) -> None:
    sent = []
    for seed in ("5", "5", "6"):
        with served() as endpoint:
            run("--url", endpoint.url, "--rate", "5000", "--requests", "50", "--days", "1",
                "--seed", seed)  # fmt: skip
            sent.append(sorted(endpoint.bodies))
    assert sent[0] == sent[1] != sent[2]


def test_slow_response_does_not_delay_next_request(endpoint: Endpoint) -> None:
    """Open loop: with a free connection a request is sent when it is due."""
    slow = 0.4

    def answer(number: int) -> tuple[int, bytes]:
        time.sleep(slow if number == 1 else 0)
        return 200, b"{}"

    endpoint.answer = answer
    tally = traffic_replay.Tally()
    made = [Request(b"{}", "now")] * 20
    traffic_replay.replay(
        made, traffic_replay.Sender(endpoint.url), rate=100.0, connections=4, tally=tally
    )
    assert endpoint.began[-1] - endpoint.began[0] < slow
    assert tally.late == 0
    assert max(tally.latencies) > slow > sorted(tally.latencies)[-2]


def test_wait_for_connection_counts_as_latency(endpoint: Endpoint) -> None:
    """Ten requests of 50 ms are due at once on one connection: the last one waits for nine."""

    def answer(_: int) -> tuple[int, bytes]:
        time.sleep(0.05)
        return 200, b"{}"

    endpoint.answer = answer
    tally = traffic_replay.Tally()
    made = [Request(b"{}", "now")] * 10
    traffic_replay.replay(
        made, traffic_replay.Sender(endpoint.url), rate=1e6, connections=1, tally=tally
    )
    assert tally.late == 9
    assert tally.latencies == sorted(tally.latencies)
    assert tally.latencies[-1] > 0.5


@given(rate=st.floats(0.01, 1e5), number=st.integers(0, 10**6))
def test_requests_are_due_at_rate(rate: float, number: int) -> None:
    gap = traffic_replay.due_after(number + 1, rate) - traffic_replay.due_after(number, rate)
    assert gap == pytest.approx(1 / rate, rel=1e-6, abs=1e-9)
    assert traffic_replay.due_after(number, rate) * rate == pytest.approx(number)


def test_missing_server_ends_with_one_message(
    run: Callable[..., Result], endpoint: Endpoint
) -> None:
    endpoint.stop()
    result = run("--url", endpoint.url, "--requests", "10", "--days", "1")
    assert result.exit_code == 1
    assert f"Error: No server responds at {endpoint.url}/invocations" in result.output
    assert "kedro serve" in result.output
    endpoint.stop = lambda: None


def test_lost_server_is_named_after_summary_of_its_responses(
    run: Callable[..., Result], endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traffic_replay, "MAX_SILENCE_SECONDS", 0.2)
    endpoint.answer = lambda number: (200, b"{}") if number <= 5 else (0, b"")
    result = run("--url", endpoint.url, "--requests", "1000", "--days", "1", "--rate", "500")
    assert result.exit_code == 1
    assert "has not responded for" in result.output
    assert "200 5" in result.output
    assert "no response (ServerDisconnectedError)" in result.output


def test_ctrl_c_ends_with_summary(run: Callable[..., Result], endpoint: Endpoint) -> None:
    def answer(number: int) -> tuple[int, bytes]:
        if number == 20:
            os.kill(os.getpid(), signal.SIGINT)
        return 200, b"{}"

    endpoint.answer = answer
    result = run("--url", endpoint.url, "--requests", "5000", "--days", "1", "--rate", "200")
    assert result.exit_code == 130
    assert "a second" in result.output
    assert "entity    champion" in result.output


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--magnitude", "2"), 2, "'--magnitude': 2.0 is not in the range 0<=x<=1"),
        (("--records", "0"), 1, "--records: Input should be greater than or equal to 1"),
        (("--days", "11", "--requests", "1000000"), 1, "11,000,000 rows are too many"),
    ],
)
def test_options_out_of_range_are_named(
    run: Callable[..., Result], arguments: tuple[str, ...], status: int, message: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == status
    assert message in result.output


def test_default_address_is_that_of_local_server(run: Callable[..., Result]) -> None:
    parameters = configuration.load(None).parameters
    server: Any = parameters.server.model_copy(update={"host": "0.0.0.0", "port": 81})
    url = local_url(server, parameters.endpoint)
    assert url == "http://127.0.0.1:81/serving-endpoints/marvel_characters/invocations"
