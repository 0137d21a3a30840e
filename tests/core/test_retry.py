"""Retry with backoff."""

import time
from collections.abc import Callable

import pytest

from marvel_kedro.core.retry import TemporaryError, is_temporary, retry


def failing(errors: list[Exception]) -> Callable[[], str]:
    def call() -> str:
        if errors:
            raise errors.pop(0)
        return "done"

    return call


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_retry_doubles_pause_after_each_temporary_failure(pauses: list[float]) -> None:
    assert retry(failing([TemporaryError("busy")] * 3), tries=4, pause_seconds=0.5) == "done"
    assert pauses == [0.5, 1.0, 2.0]


def test_retry_raises_last_temporary_error_after_all_tries(pauses: list[float]) -> None:
    errors: list[Exception] = [TemporaryError("first"), TemporaryError("second")]
    with pytest.raises(TemporaryError, match="second"):
        retry(failing(errors), tries=2, pause_seconds=0.5)
    assert pauses == [0.5]


def test_retry_passes_permanent_error_on_without_second_call(pauses: list[float]) -> None:
    errors: list[Exception] = [ValueError("no address"), TemporaryError("unused")]
    with pytest.raises(ValueError, match="no address"):
        retry(failing(errors), tries=3, pause_seconds=0.5)
    assert pauses == []
    assert len(errors) == 1


def test_only_429_and_5xx_are_temporary() -> None:
    assert [status for status in (200, 400, 404, 429, 500, 503) if is_temporary(status)] == [
        429,
        500,
        503,
    ]
