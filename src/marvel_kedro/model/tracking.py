"""Where runs are tracked, and what every run is tagged with."""

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import requests

from marvel_kedro.core.atomic_files import partial_path, remove_partial_files
from marvel_kedro.core.errors import ProjectError, without_password

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONNECT_SECONDS = 5.0
_SQLITE_START = b"SQLite format 3\0"


@dataclass(frozen=True)
class Store:
    """An MLflow tracking store, and the model registry unless it is the same store.

    The server chooses where artefacts go unless the store is local.
    """

    uri: str
    artifacts: str | None
    registry: str | None = None


def find_store(project_path: Path) -> Store:
    """MLFLOW_TRACKING_URI if it is set, else the database in the project's root.

    Models are registered at MLFLOW_REGISTRY_URI if it is set, else in the same place; in Unity
    Catalog if that is a workspace.
    """
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or None
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return Store(uri, None, registry)
    return Store(
        f"sqlite:///{(project_path / 'mlflow.db').as_posix()}",
        (project_path / "mlartifacts").as_uri(),
        registry,
    )


def make_store(uri: str) -> None:
    """Make an SQLite store whole, or not at all.

    MLflow makes its tables one by one in seconds, and cannot go on where a kill ended that. So they
    are made in a file beside it, which takes the name when it is done; another process that did
    the same meanwhile is heeded.

    Raises:
        ProjectError: The store cannot be made or used; MLflow itself would try for minutes.
    """
    if not uri.startswith("sqlite:///"):
        return
    from mlflow import MlflowClient  # noqa: PLC0415 - slow to import
    from sqlalchemy import make_url  # noqa: PLC0415 - slow to import

    target = Path(make_url(uri).database or "")
    if target.exists():
        _check_database(target)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(target.parent, os.W_OK):
        raise ProjectError(
            f"The MLflow store {target} cannot be made: {target.parent} is read-only."
        )
    remove_partial_files(target)
    partial = partial_path(target)
    try:
        MlflowClient(f"sqlite:///{partial.as_posix()}").search_experiments(max_results=1)
        try:
            os.link(partial, target)
        except OSError:  # the name is taken, or the file system has no hard links
            if not os.path.lexists(target):  # a rename would overwrite it
                partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _check_database(path: Path) -> None:
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ProjectError(f"The MLflow store {path} is no file that can be read. Mend its rights.")
    with path.open("rb") as file:
        start = file.read(len(_SQLITE_START))
    if start not in {b"", _SQLITE_START}:
        raise ProjectError(
            f"The MLflow store {path} is damaged or no SQLite database. Bring back a copy, or move "
            "it away to begin anew."
        )


def check_reachable(uri: str) -> None:
    """Fail within seconds if a tracking server does not answer; MLflow itself retries for minutes.

    Whether the server lets the user in is for its answers to MLflow to say.

    Raises:
        ProjectError: Nothing answers at the address, or a server that has failed.
    """
    if not uri.startswith(("http://", "https://")):
        return
    try:
        answer = requests.get(f"{uri.rstrip('/')}/health", timeout=CONNECT_SECONDS)
    except (requests.RequestException, ValueError) as error:
        fault = type(error).__name__
    else:
        if answer.status_code < requests.codes.server_error:
            return
        fault = f"status {answer.status_code}"
    raise ProjectError(
        f"The MLflow server {without_password(uri)} cannot be reached ({fault}). Start it, correct "
        "MLFLOW_TRACKING_URI, or unset that variable to use mlflow.db in the project."
    )


_TOLD = {
    "git_sha": "MARVEL_GIT_SHA",
    "git_branch": "MARVEL_GIT_BRANCH",
    "job_id": "MARVEL_JOB_ID",
    "job_run_id": "MARVEL_JOB_RUN_ID",
    "task_run_id": "MARVEL_TASK_RUN_ID",
}


def origin_tags(project_path: Path) -> dict[str, str]:
    """What made a run or a model: commit and branch, and the job if one has said so.

    What a job says goes before what the checkout says, for a wheel has none.
    """
    told = {tag: os.environ[name] for tag, name in _TOLD.items() if os.environ.get(name)}
    return told if "git_sha" in told else _git_tags(project_path) | told


def _git_tags(project_path: Path) -> dict[str, str]:
    """The commit and the branch of the checkout; nothing outside one or without git."""
    tags: dict[str, str] = {}
    if shutil.which("git") is None:
        return tags
    for tag, question in (("git_sha", ["HEAD"]), ("git_branch", ["--abbrev-ref", "HEAD"])):
        answer = subprocess.run(  # noqa: S603 - fixed words
            ["git", "rev-parse", *question],  # noqa: S607 - whichever git the user has
            cwd=project_path,
            capture_output=True,
            text=True,
            check=False,
        )
        if answer.returncode == 0:
            tags[tag] = answer.stdout.strip()
    return tags


def process_tags() -> dict[str, str]:
    """Which process runs this, so that a later one can see that it was killed."""
    return {
        "process.host": socket.gethostname(),
        "process.id": str(os.getpid()),
        "process.started": f"{psutil.Process().create_time():.2f}",
    }


def close_killed_runs(client: "MlflowClient", experiment_id: str) -> None:
    """Mark as killed the runs of this machine whose process is gone (`kill -9`, a power cut)."""
    running = client.search_runs(
        [experiment_id],
        f"attributes.status = 'RUNNING' and tags.`process.host` = '{socket.gethostname()}'",
    )
    for run in running:
        if not _lives(run.data.tags):
            client.set_terminated(run.info.run_id, "KILLED")


def _lives(tags: dict[str, str]) -> bool:
    """Whether the process is there, and is not another one that got its number."""
    try:
        started = psutil.Process(int(tags["process.id"])).create_time()
    except psutil.NoSuchProcess:
        return False
    return f"{started:.2f}" == tags.get("process.started", f"{started:.2f}")


def plain(parameters: Any) -> Any:  # noqa: ANN401
    """Parameters as dictionaries, the form that kedro-mlflow logs one by one."""
    return parameters.model_dump(mode="json") if hasattr(parameters, "model_dump") else parameters
