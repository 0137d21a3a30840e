import socket
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from marvel_kedro import tracking
from marvel_kedro.errors import ProjectError


def test_the_store_is_the_projects_own_unless_the_variable_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    store = tracking.find_store(tmp_path)
    assert store.uri == f"sqlite:///{tmp_path}/mlflow.db"
    assert store.artifacts == (tmp_path / "mlartifacts").as_uri()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org")
    assert tracking.find_store(tmp_path) == tracking.Store("https://mlflow.example.org", None)


def test_a_server_that_does_not_answer_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(ProjectError, match=rf"http://127\.0\.0\.1:{port} cannot be reached") as e:
        tracking.check_reachable(f"http://user:hush@127.0.0.1:{port}/path")
    assert "hush" not in str(e.value)


def test_a_server_that_answers_and_a_database_pass() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        tracking.check_reachable(f"http://127.0.0.1:{server.getsockname()[1]}")
    tracking.check_reachable("sqlite:///mlflow.db")


def test_git_tags_name_commit_and_branch(tmp_path: Path) -> None:
    assert tracking.git_tags(tmp_path) == {}

    def git(*words: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--initial-branch", "trunk")
    git("commit", "--allow-empty", "--message", "first")
    assert tracking.git_tags(tmp_path) == {
        "git_sha": git("rev-parse", "HEAD"),
        "git_branch": "trunk",
    }


def test_only_runs_whose_process_is_gone_are_closed(tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("e", artifact_location=tmp_path.as_uri())
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = socket.gethostname()
    runs = {
        name: client.create_run(experiment, tags=tags).info.run_id
        for name, tags in {
            "mine": tracking.process_tags(),
            "killed": {"process.host": host, "process.id": str(gone.pid)},
            "elsewhere": {"process.host": "another-host", "process.id": str(gone.pid)},
        }.items()
    }
    tracking.close_killed_runs(client, experiment)
    status = {name: client.get_run(run_id).info.status for name, run_id in runs.items()}
    assert status == {"mine": "RUNNING", "killed": "KILLED", "elsewhere": "RUNNING"}
