"""What a worker writes down of a request before it answers: one JSON line in a file on this disk.

A line is with the operating system when `write` returns, so it survives `kill -9` of the worker.
It is not forced to the disk: a power cut may take the last seconds.
"""

import errno
import fcntl
import os
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from marvel_kedro.serving.configuration import InferenceTableOptions

OPEN, CLOSED = ".open", ".closed"
DAMAGED = "damaged"
FIRST_KEY = b'{"request_time":'

REDACTED = "***"
REQUEST_TOO_LONG = "MAX_REQUEST_SIZE_EXCEEDED"
RESPONSE_TOO_LONG = "MAX_RESPONSE_SIZE_EXCEEDED"

_SEGMENT_BYTES = 8 * 1024**2
_HASHES = 2**32  # how many values a CRC-32 has
_TRIES = 10
_ROWS = ("dataframe_records", "instances", "inputs")
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True)
class Entry:
    """A request and how it was answered or refused.

    Attributes:
        databricks_request_id: The server's own name for the request; each is another.
        client_request_id: The client's.
        request_time: When it came, microseconds since 1970 in UTC.
        status_code: Of the answer.
        execution_duration_ms: How long the answer took.
        request: The body; None if it was not read.
        response: The body of the answer.
        served_entity_id: Who answered; None if nobody did.
        requester: Name of the token.
    """

    databricks_request_id: str
    client_request_id: str | None
    request_time: int
    status_code: int
    execution_duration_ms: int
    request: bytes | None
    response: bytes | None
    served_entity_id: str | None = None
    requester: str | None = None


class Spool:
    """The files of one worker. To be used from one thread.

    A file ends in `.open` and is locked while its worker lives, and in `.closed` when it is whole.
    `TableWriter` moves both the closed ones and the open ones of the dead to the table.

    Attributes:
        dropped: How many requests were not written down, by reason: `disk_full`, `spool_full`
            (too much waits for the table), `segment_lost` (somebody deleted the file), `io`.
    """

    def __init__(
        self,
        folder: Path,
        options: InferenceTableOptions,
        spool_bytes: int,
        on_drop: Callable[[str, int], None] | None = None,
        segment_bytes: int = _SEGMENT_BYTES,
    ) -> None:
        """Nothing is made before the first request is written.

        Args:
            folder: Where all workers of a server have their files.
            options: Size limit, sampling and redaction.
            spool_bytes: How much may wait there, of all workers.
            on_drop: Told a reason and a number of requests whenever some are dropped.
            segment_bytes: From what size on a file is closed before its time.
        """
        self.dropped: Counter[str] = Counter()
        self._folder = folder
        self._fraction = options.sampling_fraction
        self._sampled = int(options.sampling_fraction * _HASHES)
        self._max_body_bytes = options.max_body_bytes
        self._redact = frozenset(options.redact)
        self._spool_bytes = spool_bytes
        self._segment_bytes = segment_bytes
        self._on_drop = on_drop
        self._file: int | None = None
        self._path = folder
        self._size = self._lines = 0
        self._waiting = bytes_in(folder)

    def write(self, entry: Entry) -> bool:
        """Write a request down, before it is answered; never raises for a fault of the disk.

        Returns:
            False if the request is lost for the table, which `dropped` counts.
        """
        if self._sampled < _HASHES:  # the same requests whoever asks
            key = entry.databricks_request_id.encode(errors="replace")
            if zlib.crc32(key) >= self._sampled:
                return True
        line = self._line(entry)
        if self._waiting + len(line) > self._spool_bytes:
            return self._drop("spool_full")
        try:
            file = self._file if self._file is not None else self._open()
            if os.write(file, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
        except OSError as error:
            self._cut()
            return self._drop("disk_full" if error.errno in _DISK_FULL else "io")
        self._size += len(line)
        self._waiting += len(line)
        self._lines += 1
        if self._size >= self._segment_bytes:
            self.rotate()
        return True

    def rotate(self) -> None:
        """Hand over what was written; a timer calls it, so that the table is not far behind."""
        if self._file is not None:
            try:
                self._path.rename(self._path.with_suffix(CLOSED))
            except FileNotFoundError:
                self._drop("segment_lost", self._lines)
                self._release()
            except OSError:
                pass  # it stays open, and goes on
            else:
                self._release()
        self._waiting = bytes_in(self._folder)

    def _open(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_TRIES):
            path = self._folder / f"{time.time_ns()}-{os.getpid()}{OPEN}"
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # The table's writer may have taken it for one of the dead before it was locked.
                if path.stat().st_ino == os.fstat(file).st_ino:
                    self._file, self._path = file, path
                    return file
            except (BlockingIOError, FileNotFoundError):
                pass
            except OSError:
                os.close(file)
                raise
            os.close(file)
        raise OSError(errno.EAGAIN, "no file could be locked", str(self._folder))

    def _cut(self) -> None:
        """Take back what a failed write has left of its line."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._release()  # no owner any more: the reader drops what has no line end

    def _release(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.close(self._file)
        self._file = None
        self._size = self._lines = 0

    def _drop(self, reason: str, requests: int = 1) -> bool:
        if requests:
            self.dropped[reason] += requests
            if self._on_drop:
                self._on_drop(reason, requests)
        return False

    def _line(self, entry: Entry) -> bytes:
        codes: list[str] = []
        client_request_id = entry.client_request_id
        request = self._body(entry.request, REQUEST_TOO_LONG, codes)
        if self._redact:
            request = None if request is None else redacted(request, self._redact)
            if client_request_id is not None and "client_request_id" in self._redact:
                client_request_id = REDACTED
        response = self._body(entry.response, RESPONSE_TOO_LONG, codes)
        line = {
            "request_time": entry.request_time,  # first: `oldest` reads it
            "databricks_request_id": entry.databricks_request_id,
            "client_request_id": client_request_id,
            "status_code": entry.status_code,
            "sampling_fraction": self._fraction,
            "execution_duration_ms": entry.execution_duration_ms,
            "request": None if request is None else str(request, "utf-8", "replace"),
            "response": None if response is None else str(response, "utf-8", "replace"),
            "logging_error_codes": codes,
            "served_entity_id": entry.served_entity_id,
            "requester": entry.requester,
        }
        try:
            return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:  # a lone surrogate, which UTF-8 does not have
            line = {key: _valid(value) for key, value in line.items()}
            return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def _body(self, body: bytes | None, code: str, codes: list[str]) -> bytes | None:
        if body is not None and len(body) > self._max_body_bytes:
            codes.append(code)
            return None
        return body


def bytes_in(folder: Path) -> int:
    """How much waits for the table; what is damaged waits for nothing."""
    return sum(entry.stat().st_size for entry in _files(folder))


def begun_at(file: Path) -> int:
    """When a file was begun, in nanoseconds since 1970; 0 if its name does not say."""
    digits = file.name.partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def oldest(folder: Path) -> float | None:
    """When the oldest file was begun that waits for the table, in seconds; None if none does."""
    times = (begun_at(Path(entry.path)) / 1e9 for entry in _files(folder) if entry.stat().st_size)
    return min(times, default=None)


def lag_seconds(folder: Path) -> float:
    """Age of the oldest request that is not in the table."""
    since = oldest(folder)
    return 0.0 if since is None else max(0.0, time.time() - since)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """The files of workers and batches; they may go while one looks."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        with suppress(OSError):
            if entry.is_dir() and entry.name != DAMAGED:
                yield from _files(Path(entry.path))
            elif entry.name.endswith((OPEN, CLOSED)):
                entry.stat()  # kept in the entry
                yield entry


def redacted(body: bytes, fields: frozenset[str]) -> bytes:
    """Replace the values of named fields, wherever in a request they are.

    What cannot be told apart is replaced as a whole: a body that is no JSON object, rows without
    names.
    """
    try:
        value = orjson.loads(body)
        return orjson.dumps(_redacted(value, fields) if isinstance(value, dict) else REDACTED)
    except (ValueError, TypeError, RecursionError):  # orjson's errors are the first two
        return orjson.dumps(REDACTED)


def _redacted(value: Any, fields: frozenset[str]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_redacted(item, fields) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for name, item in value.items():
        if name in fields:
            result[name] = [REDACTED] * len(item) if isinstance(item, list) else REDACTED
        elif name in _ROWS and not isinstance(item, dict):
            result[name] = _redacted_rows(item, [], fields)
        elif name == "data":
            columns = value.get("columns")
            result[name] = _redacted_rows(item, columns, fields)
        else:
            result[name] = _redacted(item, fields)
    return result


def _redacted_rows(rows: Any, columns: Any, fields: frozenset[str]) -> Any:  # noqa: ANN401
    """Rows are objects, or lists in the order of the columns; anything else has no names."""
    if not isinstance(rows, list):
        return REDACTED
    names = columns if isinstance(columns, list) else []

    def row_redacted(row: Any) -> Any:  # noqa: ANN401
        if isinstance(row, dict):
            return _redacted(row, fields)
        if not isinstance(row, list) or len(row) != len(names):
            return REDACTED
        return [
            REDACTED if isinstance(name, str) and name in fields else _redacted(cell, fields)
            for name, cell in zip(names, row, strict=True)
        ]

    return [row_redacted(row) for row in rows]


def _valid(value: Any) -> Any:  # noqa: ANN401 - text, numbers, lists
    return value.encode(errors="replace").decode() if isinstance(value, str) else value
