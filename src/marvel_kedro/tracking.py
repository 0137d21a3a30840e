"""Where runs are tracked, and what every run is tagged with."""

import os
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil

from marvel_kedro.errors import ProjectError

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONNECT_SECONDS = 5.0
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Store:
    """An MLflow tracking store; the server chooses where artefacts go unless the store is local."""

    uri: str
    artifacts: str | None


def find_store(project_path: Path) -> Store:
    """MLFLOW_TRACKING_URI if it is set, else the database in the project's root."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    if uri:
        return Store(uri, None)
    return Store(
        f"sqlite:///{(project_path / 'mlflow.db').as_posix()}",
        (project_path / "mlartifacts").as_uri(),
    )


def check_reachable(uri: str) -> None:
    """Fail within seconds if a tracking server does not answer; MLflow itself retries for minutes.

    Raises:
        ProjectError: Nothing listens at the address.
    """
    address = urlsplit(uri)
    if address.scheme not in _PORTS:
        return
    try:
        port = address.port or _PORTS[address.scheme]
        socket.create_connection((address.hostname or "", port), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        raise ProjectError(
            f"The MLflow server {address.scheme}://{address.hostname}:{port} cannot be reached "
            f"({error}). Start it, correct MLFLOW_TRACKING_URI, or unset that variable to use "
            "mlflow.db in the project."
        ) from error


def git_tags(project_path: Path) -> dict[str, str]:
    """The commit and the branch of the checkout; nothing outside one."""
    tags = {}
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
    return {"process.host": socket.gethostname(), "process.id": str(os.getpid())}


def close_killed_runs(client: "MlflowClient", experiment_id: str) -> None:
    """Mark as killed the runs of this machine whose process is gone (`kill -9`, a power cut)."""
    running = client.search_runs(
        [experiment_id],
        f"attributes.status = 'RUNNING' and tags.`process.host` = '{socket.gethostname()}'",
    )
    for run in running:
        if not psutil.pid_exists(int(run.data.tags["process.id"])):
            client.set_terminated(run.info.run_id, "KILLED")


def plain(parameters: Any) -> Any:  # noqa: ANN401
    """Parameters as dictionaries, the form that kedro-mlflow logs one by one."""
    return parameters.model_dump(mode="json") if hasattr(parameters, "model_dump") else parameters
