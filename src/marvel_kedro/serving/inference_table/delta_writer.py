"""The inference table: what workers wrote down, moved to Delta, each request exactly once.

Files of the spool are moved into a numbered batch, the batch is committed with its number as
Delta's application transaction, and deleted. After a crash the table itself says which batches it
has. Everything that goes wrong leaves the batch where it is, for the next attempt.
"""

import fcntl
import logging
import os
import re
import shutil
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from marvel_kedro.core import file_lock
from marvel_kedro.serving.inference_table.spool import CLOSED, DAMAGED, FIRST_KEY, OPEN, begun_at

logger = logging.getLogger(__name__)


def _field(name: str, kind: pa.DataType, comment: str) -> pa.Field:
    return pa.field(name, kind, metadata={"comment": comment})


_TIMESTAMP = pa.timestamp("us", "UTC")

SCHEMA = pa.schema(
    [
        _field("databricks_request_id", pa.string(), "The server's name for the request"),
        _field("request_date", pa.date32(), "The day of request_time in UTC"),
        _field("client_request_id", pa.string(), "The client's name for the request"),
        _field("request_time", _TIMESTAMP, "When the request came"),
        _field("status_code", pa.int32(), "HTTP status of the answer"),
        _field("sampling_fraction", pa.float64(), "Share of the requests that is written down"),
        _field("execution_duration_ms", pa.int64(), "How long the answer took"),
        _field("request", pa.string(), "Body of the request; null if too long or not read"),
        _field("response", pa.string(), "Body of the answer; null if too long"),
        _field("logging_error_codes", pa.list_(pa.string()), "Why a body is null"),
        _field("served_entity_id", pa.string(), "Who answered, see served_entities"),
        _field("requester", pa.string(), "Whose token it was"),
    ]
)
"""The columns of Databricks' table, in its order."""

SERVED_SCHEMA = pa.schema(
    [
        _field("served_entity_id", pa.string(), "What the inference table says"),
        _field("endpoint_name", pa.string(), "Name of the endpoint"),
        _field("served_entity_name", pa.string(), "Name in the endpoint's description"),
        _field("entity_name", pa.string(), "The registered model"),
        _field("entity_version", pa.string(), "Its version"),
        _field("change_time", _TIMESTAMP, "Since when it is served"),
    ]
)
"""Who answers, as in Databricks' `system.serving.served_entities`."""

_RETENTION = timedelta(days=1)
_PROPERTIES = {
    "delta.checkpointInterval": "50",
    # A commit every few seconds: with Delta's own 30 days, half a million files to list.
    "delta.logRetentionDuration": f"interval {_RETENTION.days} days",
    "delta.deletedFileRetentionDuration": f"interval {_RETENTION.days} days",
    # Without these each commit holds the least and greatest body.
    "delta.dataSkippingStatsColumns": "request_time,status_code,served_entity_id",
}

_IN_LINES = pa.schema(
    [
        pa.field(field.name, pa.int64() if field.name == "request_time" else field.type)
        for field in SCHEMA
        if field.name != "request_date"
    ]
)
_LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * 10**6

_FILE_SIZES = (16 * 1024**2, 256 * 1024**2)
"""What files are joined to: small ones often, those of the first size now and then."""

_BATCH_BYTES = 64 * 1024**2
_LONGEST_PAUSE = 60.0
_SET_ASIDE = re.compile(r"batch-(\d+)\.jsonl")
_LOCK_SECONDS, _LOOK_SECONDS = 5.0, 0.05


class TableWriter:
    """Moves a spool to the table. One thread calls `flush`; any may call `note_served`.

    Attributes:
        rows: How many requests this writer has committed.
        damaged: How many lines it could not read; they are in the spool's folder `damaged`.
        last_error: What went wrong in the last flush; None if nothing did.
    """

    def __init__(
        self,
        table: Path,
        spool: Path,
        *,
        compact_files: int = 20,
        batch_bytes: int = _BATCH_BYTES,
        pause: float = 1.0,
    ) -> None:
        """Nothing is read or made before the first flush.

        Args:
            table: Folder of the Delta table; `served_entities` is its neighbour.
            spool: Folder of the workers' files.
            compact_files: From how many small files of a day on they are joined.
            batch_bytes: How much of the spool is committed, and in memory, at once.
            pause: Seconds without an attempt after a fault; doubled with each further one.
        """
        self.rows = self.damaged = 0
        self.last_error: str | None = None
        self._path = table
        self._spool = spool
        self._compact_files = compact_files
        self._batch_bytes = batch_bytes
        self._pause = pause
        self._failures = 0
        self._next_attempt = 0.0
        self._logged: set[str] = set()
        self._lock: int | None = None
        self._table: DeltaTable | None = None
        self._number = 0
        self._served: dict[str, pa.Table] = {}

    def note_served(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Remember who is served; the next flush adds those that `served_entities` has not.

        Args:
            rows: Values by the names of `SERVED_SCHEMA`.
        """
        for row in rows:
            self._served[row["served_entity_id"]] = pa.Table.from_pylist([row], SERVED_SCHEMA)

    def flush(self, *, now: bool = False) -> int:
        """Move what waits to the table; a fault is kept in `last_error` and never raised.

        Args:
            now: Try even if the pause after a fault is not over: the last flush of a server.

        Returns:
            How many requests were committed.
        """
        if not now and time.monotonic() < self._next_attempt:
            return 0
        before = self.rows
        try:
            self._own()
            self._opened()
            for batch in self._batches():
                self._move(batch)
            self._add_served()
            self._tidy()
        except Exception as error:  # noqa: BLE001 - of the disk, of Delta: all is tried again
            self._failed(error)
        else:
            self._recovered()
        return self.rows - before

    def close(self) -> None:
        """Let another writer have the spool."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _own(self) -> None:
        """Hold the spool alone, for as long as this writer lives."""
        if self._lock is not None:
            return
        self._spool.mkdir(parents=True, exist_ok=True)
        self._lock = file_lock.acquire(self._spool / "writer.lock")
        if self._lock is None:
            raise RuntimeError(
                f"Another server moves {self._spool} to its table. Give each server a folder "
                "(server.folder) of its own, or stop the other one."
            )

    def _batches(self) -> Iterator[Path]:
        """What was begun before, then what waits, as batches of a bounded size."""
        begun = sorted(self._spool.glob("batch-*"), key=_number)
        yield from begun
        before = time.time_ns()
        while batch := self._gather(before):
            yield batch

    def _gather(self, before: int) -> Path | None:
        """Move the oldest files that nobody writes any more into the next batch.

        Files that were begun after `before` wait: under load there is always one more.
        """
        batch: Path | None = None
        size = 0
        for path in sorted(self._spool.glob(f"*{CLOSED}")) + sorted(self._spool.glob(f"*{OPEN}")):
            if begun_at(path) > before:
                continue
            with _unowned(path) as bytes_there:
                if bytes_there is None:
                    continue
                if bytes_there == 0:
                    path.unlink()
                    continue
                if size and size + bytes_there > self._batch_bytes:
                    break
                if batch is None:
                    batch = self._spool / f"batch-{self._next_number()}"
                    batch.mkdir()
                path.rename(batch / path.name)
                size += bytes_there
        return batch

    def _next_number(self) -> int:
        begun = map(_number, self._spool.glob("batch-*"))
        committed = self._opened().transaction_version(self._app_id()) or 0
        # A batch of nothing but damaged lines commits nothing.
        aside = (
            int(found[1])
            for path in (self._spool / DAMAGED).glob("*")
            if (found := _SET_ASIDE.fullmatch(path.name))
        )
        self._number = max(self._number, committed, *begun, *aside, 0) + 1
        return self._number

    def _move(self, batch: Path) -> None:
        """Commit a batch unless the table has it, and delete it."""
        table = self._opened()
        app_id, number = self._app_id(), _number(batch)
        if number > (table.transaction_version(app_id) or 0):
            rows, damaged = parsed(_whole_lines(batch))
            if damaged:
                self._set_aside(batch.name, damaged)
            if rows.num_rows:
                properties = CommitProperties(app_transactions=[Transaction(app_id, number)])
                write_deltalake(table, rows, mode="append", commit_properties=properties)
            self.rows += rows.num_rows
        shutil.rmtree(batch)

    def _set_aside(self, name: str, lines: list[bytes]) -> None:
        folder = self._spool / DAMAGED
        folder.mkdir(exist_ok=True)
        path, data = folder / f"{name}.jsonl", b"".join(lines)
        if path.exists():
            if path.read_bytes() == data:  # this is a second attempt
                return
            path = folder / f"{name}-{uuid.uuid4().hex}.jsonl"
        partial = path.with_suffix(".partial")
        partial.write_bytes(data)
        partial.rename(path)
        self.damaged += len(lines)
        logger.warning("%d damaged lines of the spool are set aside in %s.", len(lines), path)

    def _app_id(self) -> str:
        """Name of this spool in the table's transactions."""
        path = self._spool / "app_id"
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

    def _opened(self) -> DeltaTable:
        """The table as it is now; made if it is not there."""
        table = self._table
        if table is not None and (self._path / "_delta_log" / _commit_name(table)).exists():
            table.update_incremental()
        else:  # the first time, after a fault, or somebody has deleted it
            table = _table(self._path, SCHEMA, ["request_date"], "Requests and answers.")
        self._table = table
        return table

    def _add_served(self) -> None:
        served = dict(self._served)
        if not served:
            return
        path = self._path.with_name("served_entities")
        table = _table(path, SERVED_SCHEMA, [], "Who answers requests, and since when.")
        # Two servers may come with the same row.
        with _alone(path, seconds=_LOCK_SECONDS) as alone:
            if not alone:
                raise TimeoutError(f"another process holds {path}")
            table.update_incremental()
            known = set(table.to_pyarrow_table(columns=["served_entity_id"])[0].to_pylist())
            rows = [row for name, row in served.items() if name not in known]
            if rows:
                write_deltalake(table, pa.concat_tables(rows), mode="append")
        for name in served:
            self._served.pop(name, None)

    def _tidy(self) -> None:
        """Join small files, and delete what no reader needs any more."""
        table = self._opened()
        if any(_crowded_days(table, size // 2, self._compact_files) for size in _FILE_SIZES):
            with _alone(self._path) as alone:
                if alone:
                    self._compact(table)
        stamp = self._spool / "vacuumed"
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > _RETENTION.total_seconds():
            table.vacuum(dry_run=False, full=True)
            stamp.touch()

    def _compact(self, table: DeltaTable) -> None:
        """Join small files, as the only server that does.

        Two compactions of the same files both succeed in deltalake (1.6), so that every row is
        there twice: it takes no commit that changes no data for a conflict. Hence the lock, and
        the look at the table once it is held.
        """
        table.update_incremental()
        for size in _FILE_SIZES:
            for day in _crowded_days(table, size // 2, self._compact_files):
                table.optimize.compact(
                    partition_filters=[("request_date", "=", day)],
                    target_size=size,
                    max_concurrent_tasks=1,
                )

    def _failed(self, error: Exception) -> None:
        self._table = None  # what it knows may be wrong
        self._failures += 1
        pause = min(_LONGEST_PAUSE, self._pause * 2 ** min(self._failures - 1, 16))
        self._next_attempt = time.monotonic() + pause
        self.last_error = f"{type(error).__name__}: {error}".partition("\n")[0]
        kind = re.sub(r"[0-9a-f-]*\d[0-9a-f-]*", "#", self.last_error)  # names and versions vary
        if kind not in self._logged:
            self._logged.add(kind)
            logger.error(
                "Requests wait for the inference table %s in %s: %s. It is tried again.",
                self._path,
                self._spool,
                self.last_error,
            )

    def _recovered(self) -> None:
        if self._failures:
            logger.info("The inference table %s is written again.", self._path)
        self._failures = 0
        self._next_attempt = 0.0
        self._logged.clear()
        self.last_error = None


def parsed(data: bytes) -> tuple[pa.Table, list[bytes]]:
    """Read lines of the spool in bulk.

    Args:
        data: Whole lines.

    Returns:
        Rows of the table, and the lines that are none.
    """
    rows = _parsed_lines(data)
    if rows is not None:
        return rows, []
    lines = data.splitlines(keepends=True)
    if len(lines) == 1:
        return SCHEMA.empty_table(), lines
    half = len(lines) // 2
    first, first_lost = parsed(b"".join(lines[:half]))
    second, second_lost = parsed(b"".join(lines[half:]))
    return pa.concat_tables([first, second]), first_lost + second_lost


def _parsed_lines(data: bytes) -> pa.Table | None:
    """Read lines of which none is damaged; None if one is."""
    if not data:
        return SCHEMA.empty_table()
    lines = data.count(b"\n")
    # Arrow's reader dies of a line that is `null`, so it sees only what begins as ours do.
    if (b"\n" + data).count(b"\n" + FIRST_KEY) != lines:
        return None
    try:
        table = pj.read_json(
            pa.BufferReader(data),
            pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pj.ParseOptions(explicit_schema=_IN_LINES, unexpected_field_behavior="error"),
        )
        table.validate(full=True)
    except (pa.ArrowInvalid, UnicodeDecodeError):  # not for want of memory
        return None
    times = table["request_time"]
    in_range = pc.and_(pc.greater_equal(times, 0), pc.less_equal(times, _LAST_SECOND))
    sound = pc.and_kleene(in_range, pc.is_valid(table["databricks_request_id"]))
    if table.num_rows != lines or not pc.all(sound, skip_nulls=False).as_py():
        return None
    stamps = times.cast(_TIMESTAMP)
    columns = {name: table[name] for name in table.column_names}
    columns |= {"request_time": stamps, "request_date": stamps.cast(pa.date32())}
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _whole_lines(batch: Path) -> bytes:
    """The lines of a batch; one without an end was never answered."""
    parts = [path.read_bytes() for path in sorted(batch.iterdir())]
    return b"".join(part[: part.rfind(b"\n") + 1] for part in parts)


@contextmanager
def _unowned(path: Path) -> Iterator[int | None]:
    """Hold a file that no worker holds: its size, or None if one does or it is gone."""
    with ExitStack() as stack:
        size = None
        with suppress(BlockingIOError, FileNotFoundError):
            stream = stack.enter_context(path.open("rb"))
            if path.suffix == OPEN:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there = os.fstat(stream.fileno())
            if path.stat().st_ino == there.st_ino:  # else its worker has just closed it
                size = there.st_size
        yield size


@contextmanager
def _alone(table: Path, *, seconds: float = 0.0) -> Iterator[bool]:
    """Hold the lock of a table among the servers that write it; whether it is held.

    Args:
        table: Its folder.
        seconds: How long to wait for it.
    """
    end = time.monotonic() + seconds
    path = table / "_server.lock"  # Delta leaves such names alone
    while (lock := file_lock.acquire(path)) is None and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _number(batch: Path) -> int:
    return int(batch.name.partition("-")[2])


def _commit_name(table: DeltaTable) -> str:
    return f"{table.version():020}.json"


def _table(path: Path, schema: pa.Schema, partition_by: list[str], comment: str) -> DeltaTable:
    """Open a table, or make it; two servers may do so at once."""
    try:
        DeltaTable.create(
            path,
            schema,
            mode="ignore",
            partition_by=partition_by,
            description=comment,
            configuration=_PROPERTIES if partition_by else None,
        )
    except Exception:
        if not DeltaTable.is_deltatable(str(path)):
            raise
    table = DeltaTable(path)
    found = pa.schema(table.schema())
    if (found.names, found.types) != (schema.names, schema.types):
        raise RuntimeError(
            f"The table {path} has other columns: {', '.join(found.names)}. Move it away, or "
            "name another folder (server.inference_table)."
        )
    return table


def _crowded_days(table: DeltaTable, small: int, files: int) -> list[str]:
    """Days that have many small files."""
    actions = pa.table(table.get_add_actions(flatten=True))
    days = actions.filter(pc.less(actions["size_bytes"], small))["partition.request_date"]
    return [str(day) for day, count in Counter(days.to_pylist()).items() if count >= files]
