"""What ended a run, in one message, where the user can mend it."""

import errno
import re
from collections.abc import Iterator
from pathlib import Path

from marvel_kedro.core.errors import ProjectError, RemoteFailure, remote_failure, without_password
from marvel_kedro.databricks import error_messages

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
    "unable to open database file": "The MLflow store cannot be opened. Mend its path or rights",
    "file is not a database": "The MLflow store is damaged. Bring back a copy or move it away",
    "disk image is malformed": "The MLflow store is damaged. Bring back a copy or move it away",
    "can't locate revision": "The MLflow store is of a newer MLflow. Install that one",
    "database is locked": "Another process holds the MLflow store. Wait for it to end",
}
_DATASET = re.compile(r"Failed while (\w+) .*?\btable='(\w+)'", re.DOTALL)
_AGAIN = "and run the same command again: tables and registry are as they were before the step."
_MOST_OF_AN_ANSWER = 300
_STORE_REMEDY = (
    "Correct MLFLOW_TRACKING_URI, or unset it to use mlflow.db in the project; where a server asks "
    "who you are, set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
    "MLFLOW_TRACKING_TOKEN."
)
WORKSPACE_REMEDIES: dict[RemoteFailure | None, str] = {
    "token": "The token has expired or is not of this workspace. Make a new one in its settings "
    "(Developer, Access tokens) and set DATABRICKS_HOST and DATABRICKS_TOKEN, or log in: "
    "databricks auth login.",
    "privilege": "Have it granted by an owner. Models need USE CATALOG and USE SCHEMA, and "
    "CREATE MODEL ON SCHEMA to register, EXECUTE ON MODEL to load.",
    "busy": "The workspace is busy, broken or out of reach. Run the same command again later; if "
    "it stays so, look at DATABRICKS_HOST and at the workspace's status page.",
    None: "Look at DATABRICKS_HOST, and whether the catalog, the schema and the model are there.",
}


def explain(error: BaseException) -> str | None:
    """Say in one message what a user can mend.

    Args:
        error: What ended a run; Kedro, MLflow and pandas wrap the fault itself more than once.

    Returns:
        What is wrong and what to do; None if the error is not the user's to mend.
    """
    chain = list(_chain(error))
    for word in (
        _from_project,
        _from_store,
        _from_engine,
        _from_libraries,
    ):  # the most telling first
        for fault in chain:
            message = word(fault)
            if message:
                return _doing(chain) + message if word is _from_engine else message
    return None


def _from_project(fault: BaseException) -> str | None:
    from kedro.validation.exceptions import DataValidationError  # noqa: PLC0415 - for commands

    if isinstance(fault, ProjectError):
        return str(fault)
    if isinstance(fault, DataValidationError):
        return f"A table breaks its contract (src/marvel_kedro/table/contracts.py). {fault}"
    if isinstance(fault, OSError) and fault.errno in _DISK:
        return f"{_DISK[fault.errno]}{_where(fault)} {_AGAIN}"
    if isinstance(fault, OSError) and fault.filename:
        return f"{fault.strerror}: {fault.filename}. Mend that path {_AGAIN}"
    return None


def _from_store(fault: BaseException) -> str | None:
    """Faults of the MLflow store: SQLite's, or those of a server or a workspace."""
    from alembic.util.exc import CommandError  # noqa: PLC0415 - slow to import
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - slow to import
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - slow to import

    text = without_password(str(fault))
    if isinstance(fault, (MlflowException, SQLAlchemyError, CommandError)):
        for symptom, remedy in _SQLITE.items():
            if symptom in text.lower():
                return f"{remedy} {_AGAIN}"
    refusal = remote_failure(fault)
    by_mlflow = isinstance(fault, MlflowException)
    by_sdk = type(fault).__module__.startswith("databricks.sdk.")
    if by_sdk or ((refusal or by_mlflow) and _asks_workspace(text)):
        # MLflow puts a heading above it, the SDK its settings below.
        said = text.rpartition(" #####\n")[2].partition(" Config: host=")[0].strip()
        return f"Databricks says: {said[:_MOST_OF_AN_ANSWER]}\n{WORKSPACE_REMEDIES[refusal]}"
    return f"MLflow says: {text[:_MOST_OF_AN_ANSWER]}\n{_STORE_REMEDY}" if by_mlflow else None


def _asks_workspace(text: str) -> bool:
    """Whether a workspace said it, and not an MLflow server beside it."""
    import mlflow  # noqa: PLC0415 - slow to import

    tracking, registry = mlflow.get_tracking_uri(), mlflow.get_registry_uri()
    if tracking.startswith("http") and without_password(tracking) in text:
        return False
    return tracking.startswith("databricks") or registry.startswith("databricks")


def _from_engine(fault: BaseException) -> str | None:
    """Faults of what holds the tables of a lakehouse."""
    return error_messages.explain(fault) if error_messages.of_engine(fault) else None


def _doing(chain: list[BaseException]) -> str:
    """Which table an engine was busy with: the hooks' note, or what Kedro says of the dataset."""
    for fault in chain:
        if notes := getattr(fault, "__notes__", []):
            return str(notes[0])
        if found := _DATASET.search(str(fault)):
            return f"While {found[1]} {found[2]}: "
    return ""


def _from_libraries(fault: BaseException) -> str | None:
    """What Kedro says itself of names, files and configuration is worded for people."""
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415 - for commands
    from yaml import YAMLError  # noqa: PLC0415 - for commands

    if isinstance(fault, (OmegaConfBaseException, YAMLError)):
        return f"The configuration in conf/ cannot be read: {fault}{_in_file(fault)}"
    if isinstance(fault, ModuleNotFoundError):
        return f"The package {fault.name} is needed for this and not installed: pip install it."
    if _raised_in(fault) == "kedro":
        return f"{without_password(str(fault))}\nkedro --verbose run shows where."
    return None


def _in_file(fault: Exception) -> str:
    """The file it is about: most faults do not name it, since Kedro reads text and merges files."""
    from kedro.utils import find_kedro_project  # noqa: PLC0415 - for commands

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    files = sorted((project / "conf").rglob("*.y*ml"))
    unnamed = [str(file) for file in files if str(file) not in str(fault) and _has(file, fault)]
    return f"\nMend {', '.join(unnamed)}" if unnamed else ""


def _has(file: Path, fault: Exception) -> bool:
    """Whether the file on its own has the same fault."""
    from omegaconf import OmegaConf  # noqa: PLC0415 - for commands
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415 - for commands
    from yaml import YAMLError  # noqa: PLC0415 - for commands

    try:
        OmegaConf.to_container(OmegaConf.load(file), resolve=True)
    except YAMLError:
        return isinstance(fault, YAMLError)
    except (OmegaConfBaseException, OSError, ValueError) as own:
        return str(own) == str(fault)
    return False


def _raised_in(fault: BaseException) -> str:
    """The package whose code raised it."""
    place = fault.__traceback__
    while place and place.tb_next:
        place = place.tb_next
    return str(place.tb_frame.f_globals.get("__name__", "")).partition(".")[0] if place else ""


def _where(fault: OSError) -> str:
    return f" ({fault.filename})" if fault.filename else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, and so on."""
    seen: set[int] = set()
    fault: BaseException | None = error
    while fault is not None and id(fault) not in seen:
        seen.add(id(fault))
        yield fault
        fault = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
