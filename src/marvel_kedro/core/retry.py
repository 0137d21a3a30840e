"""Retry with backoff: on 429, on 5xx and on whatever else may succeed later."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

Result = TypeVar("Result")


class TemporaryError(Exception):
    """A failure that may not occur on the next try."""


def retry(call: Callable[[], Result], tries: int, pause_seconds: float) -> Result:
    """Call a function until it succeeds or fails for good, and return its result.

    Args:
        call: The function; it raises `TemporaryError` if another try may succeed. Any other error
            is passed on at once.
        tries: The maximum number of calls, at least 1; the error of the last one is passed on.
        pause_seconds: The pause before the second call; each later pause is twice as long.
    """
    for number in range(tries - 1):
        try:
            return call()
        except TemporaryError:
            time.sleep(pause_seconds * 2**number)
    return call()


def is_temporary(status: int) -> bool:
    """Check whether an HTTP status allows a retry: 429 (too many requests) or 5xx."""
    return status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
