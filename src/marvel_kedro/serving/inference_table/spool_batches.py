"""Batches of the spool: the workers' files gathered by the table's writer, and read in bulk.

Files move into a numbered folder first. The number identifies the batch in the table, so that
after a crash the table shows whether it has the batch.
"""

import fcntl
import logging
import os
import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from marvel_kedro.core import file_lock
from marvel_kedro.serving.inference_table.schema import LINE_SCHEMA, SCHEMA
from marvel_kedro.serving.inference_table.spool import CLOSED, DAMAGED, FIRST_KEY, OPEN, created_at

logger = logging.getLogger(__name__)

_LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * 10**6


class SpoolBatches:
    """The reading side of a spool, held by one process at a time."""

    def __init__(self, folder: Path, batch_bytes: int) -> None:
        self._folder = folder
        self._batch_bytes = batch_bytes  # the limit of a batch, unless a single file exceeds it
        self._lock: int | None = None
        self._number = 0

    def lock(self) -> None:
        """Lock the spool until `close`; raise a RuntimeError if another process holds it."""
        if self._lock is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = file_lock.acquire(self._folder / "writer.lock")
        if self._lock is None:
            raise RuntimeError(
                f"Another server moves {self._folder} to its table. Give each server its own "
                "folder (server.folder), or stop the other one."
            )

    def close(self) -> None:
        """Unlock the spool."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def app_id(self) -> str:
        """The id of this spool in the table's transactions."""
        path = self._folder / "app_id"
        with suppress(FileNotFoundError):
            if text := path.read_text().strip():
                return text
        text = uuid.uuid4().hex
        partial = path.with_suffix(".partial")
        with partial.open("w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.rename(path)
        return text

    def unfinished(self) -> list[Path]:
        """List the batches that an earlier attempt left, in their order."""
        return sorted(self._folder.glob("batch-*"), key=number_of)

    def gather(self, before: int, committed: Callable[[], int]) -> Path | None:
        """Move the oldest files without a living writer into the next batch; None if none waits.

        Files created after `before`, in nanoseconds since 1970, wait for the next flush: otherwise
        it might never end under load. `committed` returns the table's last batch number.
        """
        batch: Path | None = None
        size = 0
        closed, opened = (sorted(self._folder.glob(f"*{end}")) for end in (CLOSED, OPEN))
        for path in closed + opened:
            if created_at(path.name) > before:
                continue
            with _unowned(path) as file_bytes:
                if file_bytes is None:
                    continue
                if file_bytes == 0:
                    path.unlink()
                    continue
                if size and size + file_bytes > self._batch_bytes:
                    break
                if batch is None:
                    batch = self._folder / f"batch-{self._next_number(committed())}"
                    batch.mkdir()
                path.rename(batch / path.name)
                size += file_bytes
        return batch

    def _next_number(self, committed: int) -> int:
        # A batch of damaged lines alone is never committed.
        set_aside = (self._folder / DAMAGED).glob("batch-[0-9]*.jsonl")
        numbers = [int(re.findall(r"\d+", path.name)[0]) for path in set_aside]
        self._number = (
            max(self._number, committed, *map(number_of, self.unfinished()), *numbers) + 1
        )
        return self._number

    def set_aside(self, name: str, lines: list[bytes]) -> bool:
        """Keep the damaged lines of a batch in a file; False if an earlier attempt has."""
        folder = self._folder / DAMAGED
        folder.mkdir(exist_ok=True)
        path, data = folder / f"{name}.jsonl", b"".join(lines)
        if path.exists():
            if path.read_bytes() == data:
                return False
            path = folder / f"{name}-{uuid.uuid4().hex}.jsonl"
        partial = path.with_suffix(".partial")
        partial.write_bytes(data)
        partial.rename(path)
        logger.warning("%d damaged lines of the spool are set aside in %s.", len(lines), path)
        return True


def number_of(batch: Path) -> int:
    """Return the number of a batch."""
    return int(batch.name.partition("-")[2])


def read_batch(batch: Path) -> tuple[pa.Table, list[bytes]]:
    """Parse the lines of a batch, except those without an end: their requests had no answer."""
    parts = [path.read_bytes() for path in sorted(batch.iterdir())]
    return parse_lines(b"".join(part[: part.rfind(b"\n") + 1] for part in parts))


def parse_lines(data: bytes) -> tuple[pa.Table, list[bytes]]:
    """Parse complete lines in bulk; return the rows of the table, and the damaged lines."""
    rows = _parse_intact(data)
    if rows is not None:
        return rows, []
    lines = data.splitlines(keepends=True)
    if len(lines) == 1:
        return SCHEMA.empty_table(), lines
    half = len(lines) // 2
    first, first_damaged = parse_lines(b"".join(lines[:half]))
    second, second_damaged = parse_lines(b"".join(lines[half:]))
    return pa.concat_tables([first, second]), first_damaged + second_damaged


def _parse_intact(data: bytes) -> pa.Table | None:
    """Parse lines; None if any of them is damaged."""
    if not data:
        return SCHEMA.empty_table()
    lines = data.count(b"\n")
    # Arrow's reader crashes on a line `null`, so it gets only lines that begin as the spool's do.
    if (b"\n" + data).count(b"\n" + FIRST_KEY) != lines:
        return None
    try:
        table = pj.read_json(
            pa.BufferReader(data),
            pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pj.ParseOptions(explicit_schema=LINE_SCHEMA, unexpected_field_behavior="error"),
        )
        table.validate(full=True)
    except (pa.ArrowInvalid, UnicodeDecodeError):  # but not a lack of memory
        return None
    times = table["request_time"]
    in_range = pc.and_(pc.greater_equal(times, 0), pc.less_equal(times, _LAST_SECOND))
    valid = pc.and_kleene(in_range, pc.is_valid(table["databricks_request_id"]))
    if table.num_rows != lines or not pc.all(valid, skip_nulls=False).as_py():
        return None
    stamps = times.cast(SCHEMA.field("request_time").type)
    table = table.append_column("request_date", stamps.cast(pa.date32()))
    return table.select(SCHEMA.names).cast(SCHEMA)


@contextmanager
def _unowned(path: Path) -> Iterator[int | None]:
    """Lock a file that no worker holds; its size, or None if one does or the file is gone."""
    with ExitStack() as stack:
        size = None
        with suppress(BlockingIOError, FileNotFoundError):
            stream = stack.enter_context(path.open("rb"))
            if path.suffix == OPEN:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            locked = os.fstat(stream.fileno())
            if path.stat().st_ino == locked.st_ino:  # else its worker has just closed it
                size = locked.st_size
        yield size
