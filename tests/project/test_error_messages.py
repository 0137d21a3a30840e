"""Errors that users can fix, and errors that they cannot."""

import errno

import pytest
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import OperationalError

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.project.error_messages import explain


def raised(fault: Exception, cause: Exception | None, context: Exception) -> Exception:
    """The error after it was raised while another one was handled."""
    try:
        try:
            raise context
        except type(context):
            raise fault from cause
    except type(fault) as error:
        return error


def test_cause_is_found_through_wrapping_errors() -> None:
    full = OSError(errno.ENOSPC, "no space", "/data/x.parquet")
    wrapped = raised(RuntimeError("cannot save"), full, full)
    assert "The disk is full" in str(explain(wrapped))
    assert "/data/x.parquet" in str(explain(wrapped))
    assert explain(ProjectError("fix it")) == "fix it"


def test_handled_error_is_not_reported() -> None:
    """A bug that is raised `from None` stays a bug, whatever was handled before."""
    assert explain(raised(TypeError("a bug"), None, OSError(errno.EACCES, "denied"))) is None


def test_lock_is_reported_only_for_database_errors() -> None:
    assert explain(ValueError("the database is locked, says a novel")) is None
    locked = OperationalError("UPDATE runs", {}, Exception("database is locked"))
    assert "Another process holds the MLflow store" in str(explain(locked))


def test_server_error_is_reported_without_the_password() -> None:
    text = "API request to http://me:hush@host/api failed with error code 401"
    message = str(explain(MlflowException(text)))
    assert "MLFLOW_TRACKING_TOKEN" in message
    assert "http://host/api" in message
    assert "hush" not in message


@pytest.mark.parametrize(
    ("answer", "remedy"),
    [
        ("failed with error code 403 != 200. Response body: 'Permission denied'", "permission"),
        ("PERMISSION_DENIED: Permission denied", "permission"),
        ("failed with error code 401", "MLFLOW_TRACKING_TOKEN"),
        ("failed with exception: too many 503 error responses", "later"),
        ("Run with id=abc not found", "mlflow_run_id"),
        ("failed with error code 404", "Correct MLFLOW_TRACKING_URI"),
    ],
)
def test_answer_of_a_server_has_the_remedy_of_its_kind(answer: str, remedy: str) -> None:
    assert remedy in str(explain(MlflowException(answer))).partition("\n")[2]


def test_long_answer_is_cut_between_words_and_says_so() -> None:
    words = " ".join(f"word{number}" for number in range(900))
    quoted = str(explain(MlflowException(words))).partition("\n")[0].removeprefix("MLflow says: ")
    assert len(quoted) > 900
    assert quoted.endswith(" ..")
    assert words.startswith(f"{quoted.removesuffix(' ..')} ")
