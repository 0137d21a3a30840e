"""What no message tells."""

import pytest

from marvel_kedro.core.errors import without_password


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("http://me:secret@host/path", "http://host/path"),
        ("token dapi0123456789abcdef-2 refused", "token *** refused"),
        ("secret dose0123456789abcdef refused", "secret *** refused"),
        ("Bearer eyJhbGciOiJIUzI1.eyJzdWIiOiIx.abc-_9 expired", "Bearer *** expired"),
        ("a daily dose of dapper words", "a daily dose of dapper words"),
    ],
)
def test_tokens_in_a_text(said: str, shown: str) -> None:
    assert without_password(said) == shown


@pytest.mark.parametrize(
    "variable",
    ["ARM_CLIENT_SECRET", "DATABRICKS_TOKEN", "MARVEL_TOKEN", "MLFLOW_TRACKING_PASSWORD"],
)
def test_secrets_of_the_environment(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "hunter22")
    assert without_password("wrong: hunter22!") == "wrong: ***!"
    monkeypatch.setenv(variable, "a")
    assert without_password("a word") == "a word"
