"""Access log: one JSON line a request, on standard output."""

import asyncio
import os
from typing import Any

import orjson

_MAX_BUFFERED_BYTES = 64 * 1024
_MAX_DELAY_SECONDS = 0.1
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class AccessLog:
    """A buffered log: a system call for each line would cost as much as the model does."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
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
        """Write the buffered lines; a closed standard output is ignored."""
        lines, self._lines, self._size = b"".join(self._lines), [], 0
        try:
            while lines:
                lines = lines[os.write(self._descriptor, lines) :]
        except OSError:
            return


def _encodable(value: Any) -> Any:  # noqa: ANN401 - JSON
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
