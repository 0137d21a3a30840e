"""What is worded as the user's to mend, and what must not be."""

import errno

from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.project.error_messages import explain


def raised(fault: Exception, cause: Exception | None, context: Exception) -> Exception:
    """The fault as it looks after it was raised where another one was being handled."""
    try:
        try:
            raise context
        except type(context):
            raise fault from cause
    except type(fault) as error:
        return error


def test_the_cause_is_found_through_what_wraps_it() -> None:
    full = OSError(errno.ENOSPC, "no space", "/data/x.parquet")
    wrapped = raised(RuntimeError("cannot save"), full, full)
    assert "The disk is full" in str(explain(wrapped))
    assert "/data/x.parquet" in str(explain(wrapped))
    assert explain(ProjectError("mend it")) == "mend it"


def test_what_was_handled_is_not_blamed() -> None:
    """A bug that is raised `from None` stays one, whatever had been going on."""
    assert explain(raised(TypeError("a bug"), None, OSError(errno.EACCES, "denied"))) is None


def test_only_the_store_is_blamed_for_a_lock() -> None:
    assert explain(ValueError("the database is locked, says a novel")) is None
    locked = OperationalError("UPDATE runs", {}, Exception("database is locked"))
    assert "Another process holds the MLflow store" in str(explain(locked))


def test_a_server_s_failure_is_told_without_its_password() -> None:
    text = "API request to http://me:hush@host/api failed with error code 401"
    said = str(explain(MlflowException(text)))
    assert "MLFLOW_TRACKING_TOKEN" in said
    assert "http://host/api" in said
    assert "hush" not in said
