"""One message for an error that the user can fix: the problem and its remedy."""

import errno
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb

from kedro.framework.project import pipelines
from kedro.utils import find_kedro_project
from kedro.validation.exceptions import DataValidationError
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from marvel_kedro.core.errors import (
    ProjectError,
    RemoteFailure,
    remote_failure,
    shortened,
    without_password,
)
from marvel_kedro.databricks import error_messages as databricks

_DISK = {
    errno.ENOSPC: "The disk is full. Free some space",
    errno.EDQUOT: "The disk quota is used up. Free some space",
    errno.EROFS: "The disk is read-only. Make it writable",
    errno.EACCES: "Permission was denied. Grant it",
}
_SQLITE = {
    "database or disk is full": "The disk is full. Free some space",
    "disk i/o error": "The disk refused to write. Look whether it is full",
    "readonly database": "The MLflow store is read-only. Make it writable",
    "unable to open database file": "The MLflow store cannot be opened. Fix its path or rights",
    "file is not a database": "The MLflow store is damaged. Restore a copy or move it away",
    "disk image is malformed": "The MLflow store is damaged. Restore a copy or move it away",
    "can't locate revision": "The MLflow store is of a newer MLflow. Install that one",
    "database is locked": "Another process holds the MLflow store. Wait for it to end",
}
_DATASET = re.compile(r"Failed while (\w+) .*?\btable='(\w+)'", re.DOTALL)
_AGAIN = "and run the same command again: tables and registry are as they were before the step."
_STORE_REMEDIES: dict[RemoteFailure | None, str] = {
    "token": "Set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, "
    "to a login of this server, or correct MLFLOW_TRACKING_URI.",
    "privilege": "The login lacks a permission: have the server's administrator grant it for the "
    "experiment and the registered model (EDIT, and READ to serve).",
    "busy": "The server is busy, broken or out of reach. Run the same command again later.",
    None: "Correct MLFLOW_TRACKING_URI, or unset it to use mlflow.db in the project.",
}
_ANSWER_REMEDIES = {
    r"params? .*\bchang|changing param": "The run that mlflow_run_id names has other parameters: "
    "leave that parameter out, or use those of the run.",
    r"run .*not found|run '\w+' .*exist|deleted.*state": "Correct the parameter mlflow_run_id, or "
    "restore what was deleted (mlflow experiments restore, mlflow runs restore).",
}


def explain(error: BaseException) -> str | None:
    """Return the problem and its remedy, or None for an error that the user cannot fix.

    Kedro, MLflow and pandas wrap the original error, often more than once.
    """
    chain = list(_chain(error))
    # The most specific message first.
    for source in (_from_project, _from_store, _from_engine, _from_libraries):
        for cause in chain:
            if message := source(cause):
                return _step(chain) + message if source is _from_engine else message
    return None


def _from_project(error: BaseException) -> str | None:
    if isinstance(error, ProjectError):
        return str(error)
    if isinstance(error, DataValidationError):
        where = "src/marvel_kedro/table/contracts.py, for conf/*/table.yml"
        return f"A table breaks its contract ({where}). {error}"
    if isinstance(error, OSError) and error.errno in _DISK:
        where = f" ({error.filename})" if error.filename else ""
        return f"{_DISK[error.errno]}{where} {_AGAIN}"
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror}: {error.filename}. Fix that path {_AGAIN}"
    return None


def _from_store(error: BaseException) -> str | None:
    """Explain errors of the MLflow store: SQLite, a server or a workspace."""
    import mlflow  # noqa: PLC0415 - slow to import, as are the two below
    from alembic.util.exc import CommandError  # noqa: PLC0415
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    text = without_password(str(error))
    by_mlflow = isinstance(error, mlflow.MlflowException)
    if by_mlflow or isinstance(error, (SQLAlchemyError, CommandError, sqlite3.Error)):
        for symptom, remedy in _SQLITE.items():
            if symptom in text.lower():
                return f"{remedy} {_AGAIN}"
    failure = remote_failure(error)
    by_sdk = type(error).__module__.startswith("databricks.sdk.")
    if by_sdk or (
        (failure or by_mlflow)
        and _is_workspace_answer(text, mlflow.get_tracking_uri(), mlflow.get_registry_uri())
    ):
        # MLflow puts a heading above the answer, the SDK its settings below.
        answer = text.rpartition(" #####\n")[2].partition(" Config: host=")[0].strip()
        return f"Databricks says: {shortened(answer)}\n{databricks.WORKSPACE_REMEDIES[failure]}"
    if not by_mlflow:
        return None
    fitting = (
        remedy
        for pattern, remedy in _ANSWER_REMEDIES.items()
        if re.search(pattern, text, re.IGNORECASE)
    )
    answer = shortened(text.partition("\n\n")[0])  # examples of code follow
    return f"MLflow says: {answer}\n{next(fitting, _STORE_REMEDIES[failure])}"


def _is_workspace_answer(text: str, tracking: str, registry: str) -> bool:
    """Tell an answer of a workspace from that of an MLflow server that is used beside it."""
    if tracking.startswith("http") and without_password(tracking) in text:
        return False
    return tracking.startswith("databricks") or registry.startswith("databricks")


def _from_engine(error: BaseException) -> str | None:
    return databricks.engine_message(error) if databricks.is_engine_error(error) else None


def _step(chain: list[BaseException]) -> str:
    """Name the table that an engine was working on: by the hooks' note, or by Kedro's message."""
    for error in chain:
        if notes := getattr(error, "__notes__", []):
            return str(notes[0])
        if found := _DATASET.search(str(error)):
            return f"While {found[1]} {found[2]}: "
    return ""


def _from_libraries(error: BaseException) -> str | None:
    """Explain errors of the configuration and of Kedro, whose own messages suit users."""
    if isinstance(error, (OmegaConfBaseException, YAMLError)):
        return f"The configuration in conf/ cannot be read: {error}{_in_file(error)}"
    if isinstance(error, ModuleNotFoundError):
        return f"The package {error.name} is needed for this and not installed: pip install it."
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    if frames and str(frames[-1].f_globals.get("__name__")).partition(".")[0] == "kedro":
        text = without_password(str(error))
        return f"{text}\n{_remedy_for_names(text) or 'kedro run --verbose shows where.'}"
    return None


def _remedy_for_names(text: str) -> str:
    """Return where the nodes or datasets are that a pipeline lacks, as Kedro says in `text`."""
    if "Failed to find the pipeline" in text:
        return f"There are: {', '.join(sorted(pipelines))}."
    if "no nodes after applying" in text:
        return "No node fits all of the options: kedro registry describe PIPELINE lists the nodes."
    found = re.search(r"does not contain (?:nodes|datasets) named \[(.*)\]", text)
    names = re.findall(r"'([^']+)'", found[1]) if found else []
    return "\n".join(f"{name} is in {_pipelines_with(name)}" for name in names)


def _pipelines_with(name: str) -> str:
    """Name the pipelines that make a dataset or have a node, else those that read the dataset."""
    having = [
        (name not in pipeline.all_outputs() | {node.name for node in pipeline.nodes}, key)
        for key, pipeline in pipelines.items()
        if name in pipeline.datasets() or any(node.name == name for node in pipeline.nodes)
    ]
    if not having:
        return "no pipeline: kedro registry describe PIPELINE lists the nodes."
    return f"{', '.join(sorted(key for _, key in having))}: add --pipelines {min(having)[1]}."


def _in_file(error: Exception) -> str:
    """Name the files with the error: Kedro reads text and merges files, so messages rarely do."""
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    files = sorted((project / "conf").rglob("*.y*ml"))
    unnamed = [str(file) for file in files if str(file) not in str(error) and _has(file, error)]
    return f"\nFix {', '.join(unnamed)}" if unnamed else ""


def _has(file: Path, error: Exception) -> bool:
    """Tell whether reading the file alone raises the same error."""
    try:
        OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except YAMLError:
        return isinstance(error, YAMLError)
    except (OmegaConfBaseException, OSError, ValueError) as own:
        return str(own) == str(error)
    return False


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes, the outermost first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
