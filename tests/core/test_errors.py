"""Secrets in messages and the classification of remote errors."""

import pytest
import requests
from mlflow.exceptions import MlflowException

from marvel_kedro.core.errors import remote_failure, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:secret@host/path", "http://host/path"),
        ("token dapi0123456789abcdef-2 refused", "token *** refused"),
        ("secret dose0123456789abcdef refused", "secret *** refused"),
        ("Bearer eyJhbGciOiJIUzI1.eyJzdWIiOiIx.abc-_9 expired", "Bearer *** expired"),
        ("a daily dose of dapper words", "a daily dose of dapper words"),
    ],
)
def test_tokens_and_passwords_are_masked(text: str, shown: str) -> None:
    assert without_password(text) == shown


@pytest.mark.parametrize(
    "variable",
    ["ARM_CLIENT_SECRET", "DATABRICKS_TOKEN", "MARVEL_TOKEN", "MLFLOW_TRACKING_PASSWORD"],
)
def test_secrets_of_environment_are_masked_unless_too_short(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "hunter22")
    assert without_password("wrong: hunter22!") == "wrong: ***!"
    monkeypatch.setenv(variable, "a")
    assert without_password("a word") == "a word"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MlflowException("error code 401: Unauthorized"), "token"),
        (MlflowException("PERMISSION_DENIED: User does not have USE SCHEMA"), "privilege"),
        (MlflowException("failed with error code 429"), "busy"),
        (MlflowException("failed with error code 503"), "busy"),
        (requests.ConnectTimeout("connection timed out"), "busy"),
        (TimeoutError("Timed out after 0:05:00"), "busy"),
        (MlflowException("RESOURCE_DOES_NOT_EXIST: no such model"), None),
        (ValueError("error code 401"), None),
    ],
)
def test_remote_failure_classifies_errors_of_clients_only(
    error: Exception, kind: str | None
) -> None:
    assert remote_failure(error) == kind
