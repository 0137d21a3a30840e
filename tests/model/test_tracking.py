"""The MLflow store and the tags of runs."""

import errno
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import tracking


def test_store_is_mlflow_db_unless_variable_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = tracking.find_store(tmp_path)
    assert store.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert store.artifacts == (tmp_path / "mlartifacts").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert tracking.find_store(tmp_path) == tracking.Store("https://mlflow.example.org", None)
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    assert tracking.find_store(tmp_path).registry == "databricks-uc"


class Answer(BaseHTTPRequestHandler):
    """Answer every request with the status of the server."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        time.sleep(self.server.delay)
        with suppress(BrokenPipeError):
            self.send_response(self.server.status)
            self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


class Server(HTTPServer):
    status = 200
    delay = 0.0


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Answer) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield listening
        finally:
            listening.shutdown()
            thread.join()


def test_error_for_unreachable_server_hides_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(ProjectError) as fault:
        tracking.check_reachable(f"http://user:hush@127.0.0.1:{port}/path")
    assert f"http://127.0.0.1:{port}/path cannot be reached" in str(fault.value)
    assert "hush" not in str(fault.value)


@pytest.mark.parametrize("uri", ["http://localhost:abc", "http://no-such-host.invalid", "http://"])
def test_invalid_address_is_reported_as_unreachable(uri: str) -> None:
    with pytest.raises(ProjectError, match="cannot be reached"):
        tracking.check_reachable(uri)


def test_server_with_5xx_status_is_reported(server: Server) -> None:
    server.status = 503
    with pytest.raises(ProjectError, match=r"cannot be reached \(status 503\)"):
        tracking.check_reachable(f"http://127.0.0.1:{server.server_port}")


def test_server_that_hangs_is_reported(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "CONNECT_SECONDS", 0.2)
    server.delay = 1.0
    with pytest.raises(ProjectError, match=r"cannot be reached \(TimeoutError"):
        tracking.check_reachable(f"http://127.0.0.1:{server.server_port}")


@pytest.mark.parametrize("status", [200, 401, 404])
def test_answering_server_and_database_pass(server: Server, status: int) -> None:
    server.status = status
    tracking.check_reachable(f"http://127.0.0.1:{server.server_port}")
    tracking.check_reachable("sqlite:///mlflow.db")


def test_existing_store_is_kept(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/folder/mlflow.db"
    tracking.make_store(uri)
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["mlflow.db"]
    client = MlflowClient(uri)
    client.create_experiment("mine")
    tracking.make_store(uri)
    assert client.get_experiment_by_name("mine")


@pytest.mark.parametrize("created_meanwhile", [False, True])
def test_store_is_created_without_hard_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, created_meanwhile: bool
) -> None:
    target = tmp_path / "mlflow.db"

    def link(*_: Path) -> None:
        if created_meanwhile:
            target.write_text("another process's")
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", link)
    tracking.make_store(f"sqlite:///{target}")
    assert list(tmp_path.iterdir()) == [target]
    if created_meanwhile:
        assert target.read_text() == "another process's"
    else:
        assert MlflowClient(f"sqlite:///{target}").search_experiments()


def test_no_git_tags_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tracking.origin_tags(tmp_path) == {}


def test_git_tags_are_commit_and_branch_of_checkout(tmp_path: Path) -> None:
    assert tracking.origin_tags(tmp_path) == {}

    def git(*arguments: str) -> str:
        command = [
            "git",
            "-C",
            str(tmp_path),
            "-c",
            "user.name=n",
            "-c",
            "user.email=e@x",
            *arguments,
        ]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--initial-branch", "trunk")
    git("commit", "--allow-empty", "--message", "first")
    assert tracking.origin_tags(tmp_path) == {
        "git_sha": git("rev-parse", "HEAD"),
        "git_branch": "trunk",
    }


def test_only_runs_of_ended_processes_are_closed(tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("e", artifact_location=tmp_path.as_uri())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host = socket.gethostname()
    runs = {
        name: client.create_run(experiment, tags=tags).info.run_id
        for name, tags in {
            "mine": tracking.process_tags(),
            "killed": {"process.host": host, "process.id": str(ended.pid)},
            "elsewhere": {"process.host": "another-host", "process.id": str(ended.pid)},
            "its process id is reused": tracking.process_tags() | {"process.started": "1.00"},
        }.items()
    }
    tracking.close_killed_runs(client, experiment)
    status = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert status == {
        "mine": "RUNNING",
        "killed": "KILLED",
        "elsewhere": "RUNNING",
        "its process id is reused": "KILLED",
    }
