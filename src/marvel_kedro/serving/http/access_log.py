"""Access log: one JSON line a request, on standard output."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson

_MAX_BUFFERED_BYTES = 64 * 1024
_MAX_DELAY_SECONDS = 0.1
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class AccessLog:
    """A buffered log: a call of `write`, which must not block, costs as much as a short request."""

    def __init__(self, write: Callable[[bytes], Any]) -> None:
        self._write = write
        self._lines: list[bytes] = []
        self._size = 0

    def line(self, **fields: Any) -> None:  # noqa: ANN401 - JSON
        """Add a line, which is written after at most a tenth of a second."""
        try:
            line = orjson.dumps(fields, option=_OPTIONS)
        except TypeError:  # a lone surrogate in a client's text, which UTF-8 cannot encode
            line = orjson.dumps({k: _encodable(v) for k, v in fields.items()}, option=_OPTIONS)
        if not self._lines:
            asyncio.get_running_loop().call_later(_MAX_DELAY_SECONDS, self.flush)
        self._lines.append(line)
        self._size += len(line)
        if self._size > _MAX_BUFFERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the buffered lines."""
        lines, self._lines, self._size = b"".join(self._lines), [], 0
        if lines:
            self._write(lines)


def _encodable(value: Any) -> Any:  # noqa: ANN401 - JSON
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
