"""Retry with backoff: on 429, on 5xx and on whatever else may succeed later."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

Result = TypeVar("Result")


class TemporaryError(Exception):
    """A failure that may not occur on the next try."""


def retry(call: Callable[[], Result], tries: int, pause_seconds: float) -> Result:
    """Call a function until it succeeds or fails for good.

    Args:
        call: The function; it raises `TemporaryError` if another try may succeed.
        tries: The maximum number of calls, at least 1.
        pause_seconds: The pause before the second call; each later pause is twice as long.

    Returns:
        The result of the first successful call.

    Raises:
        TemporaryError: The last call failed. Any other error of a call is passed on at once.
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
