"""What ended a run, in one message, where the user can mend it."""

import errno
from collections.abc import Iterator

from marvel_kedro.errors import ProjectError, without_password

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
    "database is locked": "Another process holds the MLflow store. Wait for it to end",
}
_AGAIN = "and run the same command again: tables and registry are as they were before the step."
_MOST_OF_AN_ANSWER = 300


def explain(error: BaseException) -> str | None:
    """Say in one message what a user can mend.

    Args:
        error: What ended a run; Kedro, MLflow and pandas wrap the fault itself more than once.

    Returns:
        What is wrong and what to do; None if the error is not the user's to mend.
    """
    for fault in _chain(error):
        if isinstance(fault, ProjectError):
            return str(fault)
        if isinstance(fault, OSError) and fault.errno in _DISK:
            return f"{_DISK[fault.errno]}{_where(fault)} {_AGAIN}"
        message = _from_store(fault) or _from_kedro(fault)
        if message:
            return message
    return None


def _from_store(fault: BaseException) -> str | None:
    """Faults of the MLflow store: SQLite's, or those of a server."""
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - slow to import
    from sqlalchemy.exc import DBAPIError  # noqa: PLC0415 - slow to import

    if not isinstance(fault, (MlflowException, DBAPIError)):
        return None
    text = str(fault)
    for symptom, remedy in _SQLITE.items():
        if symptom in text.lower():
            return f"{remedy} {_AGAIN}"
    if text.startswith("API request to"):
        return (
            f"The MLflow server failed. {without_password(text)[:_MOST_OF_AN_ANSWER]}\n"
            "Correct MLFLOW_TRACKING_URI; where the server wants them, set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
        )
    return None


def _from_kedro(fault: BaseException) -> str | None:
    """Faults that Kedro already words well."""
    from kedro.validation.exceptions import DataValidationError  # noqa: PLC0415 - as above

    if isinstance(fault, DataValidationError):
        return f"A table breaks its contract (src/marvel_kedro/schemas.py). {fault}"
    if isinstance(fault, ValueError) and str(fault).startswith("Failed to find the pipeline"):
        return f"{fault}\nkedro registry list shows the pipelines there are."
    return None


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
