"""The spool: requests that a worker logs before it answers, one JSON line each in a local file.

A line is with the operating system when `write` returns, so it survives `kill -9` of the worker.
It is not synced to disk: a power cut may lose the last seconds.
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
from marvel_kedro.serving.inference_table.redaction import REDACTED, redact

OPEN, CLOSED = ".open", ".closed"
DAMAGED = "damaged"
FIRST_KEY = b'{"request_time":'

_HASHES = 2**32  # number of values of a CRC-32
_OPEN_ATTEMPTS = 10
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(slots=True)
class Entry:
    """A request and its answer; `schema.SCHEMA` describes the fields."""

    databricks_request_id: str
    client_request_id: str | None
    request_time: int  # in microseconds since 1970, UTC
    status_code: int
    execution_duration_ms: int
    request: bytes | None  # None if it was not read
    response: bytes | None
    served_entity_id: str | None = None  # None if no entity answered
    requester: str | None = None


class Spool:
    """The files of one worker. Not thread-safe.

    A file ends in `.open` and is locked while its worker lives, and in `.closed` once it is
    complete. `TableWriter` moves closed files, and open ones of dead workers, to the table.

    Args:
        folder: Folder of the files of all workers of a server; the first request creates it.
        options: Size limit, sampling and redaction.
        spool_bytes: Bytes of all workers that may wait for the table.
        on_drop: Called with a reason and a number of requests when some are dropped.
        segment_bytes: Size at which a file is closed early.

    Attributes:
        dropped: Number of requests that were not logged, by reason: `disk_full`, `spool_full`
            (too much waits for the table), `segment_lost` (the file was deleted), `io`.
    """

    def __init__(
        self,
        folder: Path,
        options: InferenceTableOptions,
        spool_bytes: int,
        on_drop: Callable[[str, int], None] | None = None,
        segment_bytes: int = 8 * 1024**2,
    ) -> None:
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
        self._waiting = _bytes_in(folder)

    def write(self, entry: Entry) -> bool:
        """Log a request before it is answered; False if it is dropped.

        Errors of the disk are counted in `dropped`, not raised.
        """
        if self._sampled < _HASHES:  # by id, so that every worker samples the same requests
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
            self._truncate()
            return self._drop("disk_full" if error.errno in _DISK_FULL else "io")
        self._size += len(line)
        self._waiting += len(line)
        self._lines += 1
        if self._size >= self._segment_bytes:
            self.rotate()
        return True

    def rotate(self) -> None:
        """Close the file for the table's writer; a timer calls this to keep the table current."""
        if self._file is not None:
            try:
                self._path.rename(self._path.with_suffix(CLOSED))
            except FileNotFoundError:
                self._drop("segment_lost", self._lines)
                self._release()
            except OSError:
                pass  # it stays open and in use
            else:
                self._release()
        self._waiting = _bytes_in(self._folder)

    def _open(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        for _ in range(_OPEN_ATTEMPTS):
            path = self._folder / f"{time.time_ns()}-{os.getpid()}{OPEN}"
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Before the lock the table's writer may have taken it for a dead worker's file.
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

    def _truncate(self) -> None:
        """Remove the partial line of a failed write."""
        if self._file is not None:
            try:
                os.ftruncate(self._file, self._size)
            except OSError:
                self._release()  # the reader drops a line without an end

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
        request = self._body(entry.request, "MAX_REQUEST_SIZE_EXCEEDED", codes)
        if self._redact:
            request = None if request is None else redact(request, self._redact)
            if client_request_id is not None and "client_request_id" in self._redact:
                client_request_id = REDACTED
        response = self._body(entry.response, "MAX_RESPONSE_SIZE_EXCEEDED", codes)
        line = {
            "request_time": entry.request_time,  # must be first, see FIRST_KEY
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
        except TypeError:  # a lone surrogate, which UTF-8 cannot encode
            line = {key: _encodable(value) for key, value in line.items()}
            return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)

    def _body(self, body: bytes | None, code: str, codes: list[str]) -> bytes | None:
        if body is not None and len(body) > self._max_body_bytes:
            codes.append(code)
            return None
        return body


def _encodable(value: Any) -> Any:  # noqa: ANN401 - text, numbers, lists
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def created_at(name: str) -> int:
    """Return the creation time in a file's name, in nanoseconds since 1970; 0 if it has none."""
    digits = name.partition("-")[0]
    return int(digits) if digits.isdigit() else 0


def lag_seconds(folder: Path) -> float:
    """Return the age of the oldest request that is not in the table, in seconds; 0 if all are."""
    times = [created_at(entry.name) for entry in _files(folder) if entry.stat().st_size]
    return max(0.0, time.time() - min(times) / 1e9) if times else 0.0


def _bytes_in(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in _files(folder))


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield the files of workers and batches that exist; others may vanish meanwhile."""
    try:
        with os.scandir(folder) as found:
            entries = list(found)
    except OSError:
        return
    for entry in entries:
        with suppress(OSError):
            if entry.is_dir() and entry.name != DAMAGED:
                yield from _files(Path(entry.path))
            elif entry.name.endswith((OPEN, CLOSED)):
                entry.stat()  # cached in the entry
                yield entry
