"""Choose and check the MLflow store, and tag every run."""

import os
import socket
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import requests

from marvel_kedro.core.atomic_files import partial_path, remove_partial_files
from marvel_kedro.core.errors import ProjectError, shortened, without_password
from marvel_kedro.model import store_location
from marvel_kedro.table.description import TableSpec

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Store:
    """An MLflow tracking store."""

    uri: str
    artifacts: str | None  # the folder of artefacts; None if the server chooses it
    registry: str | None = None  # the model registry; None if it is the same store


def find_store(project_path: Path) -> Store:
    """Find the store: MLFLOW_TRACKING_URI if it is set, else mlflow.db in the project.

    Models are registered at MLFLOW_REGISTRY_URI if it is set. Otherwise the registry is the same
    store, or Unity Catalog if the store is a workspace.
    """
    registry = os.environ.get("MLFLOW_REGISTRY_URI") or None
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return Store(uri, None, registry)
    database, artifacts = project_path / "mlflow.db", project_path / store_location.ARTIFACTS
    return Store(f"sqlite:///{database.as_posix()}", artifacts.as_uri(), registry)


def exists(uri: str) -> bool:
    """Tell whether an SQLite store has been created; a server's is taken to be there."""
    database = store_location.database_path(uri)
    return database is None or database.exists()


def make_store(uri: str) -> None:
    """Create an SQLite store atomically.

    MLflow takes seconds to create its tables and cannot continue after a kill, so they are created
    in a file beside the store, which is renamed at the end. A store that another process has
    created meanwhile is kept.

    Raises:
        ProjectError: The store cannot be created or used; MLflow itself would retry for minutes.
    """
    target = store_location.database_path(uri)
    if target is None:
        return
    if target.exists():
        _check_database(target)
        store_location.relocate(uri)
        return
    from mlflow import MlflowClient  # noqa: PLC0415 - slow to import

    target.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(target.parent, os.W_OK):
        raise ProjectError(
            f"The MLflow store {target} cannot be created: {target.parent} is read-only."
        )
    remove_partial_files(target)
    partial = partial_path(target)
    try:
        MlflowClient(f"sqlite:///{partial.as_posix()}").search_experiments(max_results=1)
        try:
            os.link(partial, target)
        except OSError:  # the target exists, or the file system has no hard links
            if not os.path.lexists(target):  # a rename would overwrite the target
                partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)


def _check_database(path: Path) -> None:
    if not path.is_file() or not os.access(path, os.R_OK):
        raise ProjectError(
            f"The MLflow store {path} is not a readable file. Correct its permissions."
        )
    with path.open("rb") as file:
        start = file.read(16)
    if start not in {b"", b"SQLite format 3\0"}:
        raise ProjectError(
            f"The MLflow store {path} is damaged or not an SQLite database. Restore a copy, or "
            "move it away to start with a new one."
        )


def check_reachable(uri: str) -> None:
    """Fail within seconds if a tracking server does not answer; MLflow itself retries for minutes.

    Authentication is not checked: MLflow's own requests report it.

    Raises:
        ProjectError: No server answers at the address, or it answers with a 5xx status.
    """
    if not uri.startswith(("http://", "https://")):
        return
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - slow to import
    from mlflow.utils.credentials import get_default_host_creds  # noqa: PLC0415
    from mlflow.utils.rest_utils import http_request  # noqa: PLC0415

    remedy = "Start it"
    try:
        # By MLflow's client: the same certificates, credentials and proxies as in the run.
        answer = http_request(  # type: ignore[no-untyped-call]
            get_default_host_creds(uri),  # type: ignore[no-untyped-call]
            "/health",
            "GET",
            timeout=CONNECT_SECONDS,
            max_retries=0,
            raise_on_status=False,
        )
    except (requests.RequestException, MlflowException, OSError, ValueError) as error:
        fault = _cause(error)
        if "certificate" in fault.lower() or "ssl" in fault.lower():
            remedy = "Name its certificate in MLFLOW_TRACKING_SERVER_CERT_PATH"
    else:
        if answer.status_code < requests.codes.server_error:
            return
        fault = f"status {answer.status_code}"
    raise ProjectError(
        f"The MLflow server {without_password(uri)} cannot be reached ({fault}). {remedy}, correct "
        "MLFLOW_TRACKING_URI, or unset that variable to use mlflow.db in the project."
    )


def _cause(error: BaseException) -> str:
    """Return the text of the first error, which its wrappers bury."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return shortened(without_password(f"{type(error).__name__}: {error}"), 200)


def origin_tags(project_path: Path) -> dict[str, str]:
    """Return the tags of the origin of a run or a model: commit, branch and job.

    Variables that a job sets (MARVEL_GIT_SHA, MARVEL_GIT_BRANCH, MARVEL_JOB_ID, MARVEL_JOB_RUN_ID
    and MARVEL_TASK_RUN_ID) override the checkout, because a wheel has no checkout. Without git or a
    checkout, commit and branch are absent.
    """
    names = ("git_sha", "git_branch", "job_id", "job_run_id", "task_run_id")
    variables = {name: os.environ.get(f"MARVEL_{name.upper()}") for name in names}
    tags = {name: value for name, value in variables.items() if value}
    if "git_sha" in tags:
        return tags
    command = ["git", "rev-parse", "HEAD", "--abbrev-ref", "HEAD"]
    try:
        answer = subprocess.run(  # noqa: S603 - a constant, with the user's git
            command, cwd=project_path, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return tags
    return dict(zip(names[:2], answer.stdout.split(), strict=True)) | tags


def process_tags() -> dict[str, str]:
    """Return tags that identify this process, so that a later one detects that it was killed."""
    return {
        "process.host": socket.gethostname(),
        "process.id": str(os.getpid()),
        "process.started": f"{psutil.Process().create_time():.2f}",
    }


def close_killed_runs(client: "MlflowClient", experiment_id: str) -> None:
    """Mark runs of this machine as killed if their process has ended (`kill -9`, a power cut)."""
    running = client.search_runs(
        [experiment_id],
        f"attributes.status = 'RUNNING' and tags.`process.host` = '{socket.gethostname()}'",
    )
    for run in running:
        if not _is_alive(run.data.tags):
            client.set_terminated(run.info.run_id, "KILLED")


def _is_alive(tags: dict[str, str]) -> bool:
    """Check whether the process of the tags runs; another process may have its id by now."""
    try:
        started = psutil.Process(int(tags["process.id"])).create_time()
    except psutil.NoSuchProcess:
        return False
    return f"{started:.2f}" == tags.get("process.started", f"{started:.2f}")


def plain(parameters: Any) -> Any:  # noqa: ANN401
    """Convert parameters to dictionaries, which kedro-mlflow logs key by key.

    MLflow refuses to change a parameter, and a retry may continue a run: what the clock and the
    machine set is left out, since it is a tag (`clock_tags`, `origin_tags`).
    """
    if not hasattr(parameters, "model_dump"):
        return parameters
    # The columns of the table would be dozens of parameters.
    left_out = {"columns"} if isinstance(parameters, TableSpec) else {"origin", *_times(parameters)}
    return parameters.model_dump(mode="json", exclude=left_out)


def clock_tags(section: str, parameters: Any) -> dict[str, str]:  # noqa: ANN401
    """Return the times of a section of the parameters, as tags."""
    return {f"{section}.{name}": time.isoformat() for name, time in _times(parameters).items()}


def _times(parameters: Any) -> dict[str, datetime]:  # noqa: ANN401
    fields = dict(parameters) if hasattr(parameters, "model_dump") else {}
    return {name: value for name, value in fields.items() if isinstance(value, datetime)}
