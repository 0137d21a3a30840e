"""One JSON line a request, to standard output."""

import asyncio
import os
from datetime import UTC, datetime
from typing import Any

import orjson

_MOST = 64 * 1024  # bytes that wait
_SECONDS = 0.1  # that they wait
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class AccessLog:
    """Collects lines for a moment: a system call for each would cost as much as the model does."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self._size = 0

    def line(self, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """Write a line down: at the latest a tenth of a second from now."""
        try:
            line = orjson.dumps(fields, option=_OPTIONS)
        except TypeError:  # a lone surrogate in what a client sent, which UTF-8 does not have
            line = orjson.dumps({k: _valid(value) for k, value in fields.items()}, option=_OPTIONS)
        if not self._waiting:
            asyncio.get_running_loop().call_later(_SECONDS, self.flush)
        self._waiting.append(line)
        self._size += len(line)
        if self._size > _MOST:
            self.flush()

    def flush(self) -> None:
        """Write what waits; whoever reads the lines may have gone."""
        lines, self._waiting, self._size = b"".join(self._waiting), [], 0
        try:
            while lines:
                lines = lines[os.write(self._descriptor, lines) :]
        except OSError:
            return


def _valid(value: Any) -> Any:  # noqa: ANN401 - JSON
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def moment(seconds: float) -> datetime:
    """A time in UTC, from seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)


def now() -> datetime:
    """The time in UTC."""
    return datetime.now(UTC)
