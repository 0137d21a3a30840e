"""Runs that `kedro run` refuses before they start."""

import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import requests
import uvicorn
from kedro.framework.session import KedroSession
from kedro.server.http_server import create_http_server
from support.project import Project
from support.running_server import until

from marvel_kedro.datasets.raw_csv import RawCSVDataset


@pytest.fixture
def filled(project: Project, synthetic_path: Path) -> Project:
    """A project with a raw file."""
    shutil.copy(synthetic_path, project.raw)
    return project


def refused(project: Project, *words: str) -> str:
    """The message of a refused command, which left neither a table nor a run."""
    outcome = project.cli(*words)
    assert outcome.status == 1, outcome.output
    assert not list(project.path.glob("data/0[2-9]*/*.*"))
    experiment = project.client().get_experiment_by_name("marvel_characters")
    assert not experiment or not project.client().search_runs([experiment.experiment_id])
    return outcome.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--async"], "--async"),
        (["--runner-params", "is_async=True"], "--async"),
        (["--runner", "ParallelRunner"], "ParallelRunner"),
        (["--only-missing-outputs"], "--only-missing-outputs"),
    ],
)
def test_options_that_split_a_run_are_refused(
    filled: Project, words: list[str], option: str
) -> None:
    assert option in refused(filled, *words)


def test_thread_runner_is_refused_where_duckdb_reads(filled: Project) -> None:
    """DuckDB refuses a second call on a connection; narwhals uses one connection."""
    words = ("--runner", "ThreadRunner", "--pipelines", "monitoring")
    assert "ThreadRunner cannot read" in refused(filled, *words)
    outcome = filled.cli(*words[:2], "--pipelines", "processing")
    assert outcome.status == 0, outcome.output


@pytest.mark.parametrize(
    ("words", "missing", "nodes"),
    [
        (["--pipelines", "training"], "split, test_set, train_set", "split_records"),
        (["--pipelines", "serving"], "records", "select_records"),
        (
            ["--from-nodes", "evaluate_models"],
            "candidate, promotion, run_tables, test_scores",
            "describe_tables,fit_model",
        ),
    ],
)
def test_missing_inputs_are_reported_with_the_nodes_that_make_them(
    filled: Project, words: list[str], missing: str, nodes: str
) -> None:
    message = refused(filled, *words)
    assert missing in message
    assert nodes in message
    assert "--from-nodes" in message


def test_synthetic_never_overwrites_a_real_raw_file(
    project: Project, real_sample_path: Path
) -> None:
    shutil.copy(real_sample_path, project.raw)
    message = refused(project, "--pipelines", "synthetic")
    assert "Move it away first" in message
    assert project.raw.read_bytes() == real_sample_path.read_bytes()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"PageID,URL\n1,https://example.org/synthetic/1\n", "is not synthetic"),
        (b"PageID\n1\n", "is not synthetic"),
        (b"", "cannot be read"),
        (b"PageID,URL\n\xe9,x\n", "cannot be read"),
        (b'PageID,URL\n"', "cannot be read"),
        (b"PageID,URL\n1,2,3\n", "cannot be read"),
    ],
)
def test_synthetic_never_overwrites_an_unknown_or_unreadable_file(
    project: Project, content: bytes, fault: str
) -> None:
    project.raw.write_bytes(content)
    message = refused(project, "--pipelines", "synthetic")
    assert "Move it away first" in message
    assert fault in message
    assert project.raw.read_bytes() == content


def test_raw_file_is_recognised_by_its_first_row(
    filled: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A raw file may be larger than memory."""
    read: list[int] = []
    load = RawCSVDataset.load

    def counting(dataset: RawCSVDataset) -> pd.DataFrame:
        frame: pd.DataFrame = load(dataset)
        read.append(len(frame))
        return frame

    monkeypatch.setattr(RawCSVDataset, "load", counting)
    filled.run("synthetic", synthetic={"rows": 200})
    assert read == [1]


def test_synthetic_overwrites_its_own_raw_file(filled: Project) -> None:
    before = filled.raw.read_bytes()
    outcome = filled.kedro("run", "--pipelines", "synthetic", "--params", "synthetic.rows=200")
    assert outcome.status == 0, outcome.output
    assert len(filled.raw.read_bytes()) < len(before)


ONE_AT_A_TIME = "A run is in progress in this process"


def statuses(project: Project) -> Counter[str]:
    """Count the runs of the experiment by status."""
    experiment = project.client().get_experiment_by_name("marvel_characters")
    if experiment is None:
        return Counter()
    runs = project.client().search_runs([experiment.experiment_id])
    return Counter(run.info.status for run in runs)


@contextmanager
def kedro_server(project: Project) -> Iterator[str]:
    """Run the application of `kedro server start` in this process, and return its address."""
    application = create_http_server(project.path)
    server = uvicorn.Server(uvicorn.Config(application, port=0, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def test_kedro_server_refuses_what_the_command_refuses(watched: Project) -> None:
    with watched.here(), kedro_server(watched) as address:

        def answer(**request: Any) -> dict[str, Any]:
            body = {"pipeline_names": ["processing"]} | request
            return dict(requests.post(f"{address}/run", json=body, timeout=60).json())

        def message(**request: Any) -> str:
            return str(answer(**request)["error"]["message"])

        before = statuses(watched)
        assert "ParallelRunner" in message(runner="ParallelRunner")
        assert statuses(watched) == before
        assert "is_async" in message(is_async=True)
        assert statuses(watched) == before + Counter(["FAILED"])  # Kedro says so only to its nodes
        with ThreadPoolExecutor(4) as threads:
            answers = list(threads.map(lambda _: answer(), range(4)))
        ended = Counter(answer["status"] for answer in answers)
        refused = [one["error"]["message"] for one in answers if one["status"] == "failure"]
        assert refused
        assert all(ONE_AT_A_TIME in text for text in refused)
        assert answer(runner="ThreadRunner")["status"] == "success"
    after = before + Counter({"FAILED": 1, "FINISHED": ended["success"] + 1})
    assert statuses(watched) == after


def test_interrupted_run_does_not_take_in_the_next_one(
    watched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a notebook, the process goes on after Ctrl-C."""
    before = statuses(watched)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    session: Any
    with watched.here():
        with monkeypatch.context() as patch, KedroSession.create(watched.path) as session:
            patch.setattr("kedro.runner.SequentialRunner.run", interrupt)
            with pytest.raises(KeyboardInterrupt):
                session.run(pipeline_names=["processing"])
        assert mlflow.active_run() is not None
        with KedroSession.create(watched.path) as session:
            session.run(pipeline_names=["processing"])
    assert statuses(watched) == before + Counter(["KILLED", "FINISHED"])
