"""The writer of the inference table: commits batches of the spool to Delta, each exactly once.

A batch is committed with its number as Delta's application transaction, and then deleted. After a
crash the table itself has the numbers of its batches. After any error a batch stays for the next
attempt.
"""

import logging
import os
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from pyarrow import fs

from marvel_kedro.core import file_lock
from marvel_kedro.serving.inference_table.schema import SCHEMA, SERVED_SCHEMA
from marvel_kedro.serving.inference_table.spool_batches import SpoolBatches, number_of, read_batch

logger = logging.getLogger(__name__)

_RETENTION = timedelta(days=1)
_PROPERTIES = {
    "delta.checkpointInterval": "50",
    # With a commit every few seconds, Delta's 30 days would leave half a million files to list.
    "delta.logRetentionDuration": f"interval {_RETENTION.days} days",
    "delta.deletedFileRetentionDuration": f"interval {_RETENTION.days} days",
    # By default each commit would hold the least and greatest body.
    "delta.dataSkippingStatsColumns": "request_time,status_code,served_entity_id",
}

# Target sizes of compaction: small files often, those of the first size now and then.
_FILE_SIZES = (16 * 1024**2, 256 * 1024**2)
_LONGEST_PAUSE = 60.0
_LOCK_SECONDS, _LOCK_POLL_SECONDS = 5.0, 0.05


class TableWriter:
    """Moves a spool to the table. One thread calls `flush`; any may call `note_served`.

    Args:
        table: Folder of the Delta table; `served_entities` is next to it.
        spool: Folder of the workers' files.
        compact_files: Number of small files of a day from which they are compacted.
        batch_bytes: Bytes of the spool that are committed, and in memory, at a time.
        pause: Seconds without an attempt after an error, doubled by each further one.

    Attributes:
        rows: Number of requests that this writer has committed.
        damaged: Number of unreadable lines, which are in the spool's folder `damaged`.
        last_error: Error of the last flush; None if it succeeded.
    """

    def __init__(
        self,
        table: Path,
        spool: Path,
        *,
        compact_files: int = 20,
        batch_bytes: int = 64 * 1024**2,
        pause: float = 1.0,
    ) -> None:
        self.rows = self.damaged = 0
        self.last_error: str | None = None
        self._path = table
        self._spool = spool
        self._batches = SpoolBatches(spool, batch_bytes)
        self._compact_files = compact_files
        self._pause = pause
        self._failures = 0
        self._next_attempt = 0.0
        self._logged: set[str] = set()
        self._table: DeltaTable | None = None
        self._served: dict[str, pa.Table] = {}

    def note_served(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Queue rows of `SERVED_SCHEMA`; the next flush adds those that `served_entities` lacks."""
        for row in rows:
            self._served[row["served_entity_id"]] = pa.Table.from_pylist([row], SERVED_SCHEMA)

    def flush(self, *, now: bool = False) -> int:
        """Move the spool to the table and return the number of requests that were committed.

        An error is kept in `last_error` and never raised. `now` ignores the pause after one, as in
        the last flush of a server.
        """
        if not now and time.monotonic() < self._next_attempt:
            return 0
        before = self.rows
        try:
            self._batches.lock()
            self._current_table()
            for unfinished in self._batches.unfinished():
                self._move(unfinished)
            start = time.time_ns()
            while batch := self._batches.gather(start, self._committed):
                self._move(batch)
            self._add_served()
            self._maintain()
        except Exception as error:  # noqa: BLE001 - of the disk or of Delta; all is retried
            self._failed(error)
        else:
            if self._failures:
                logger.info("The inference table %s is written again.", self._path)
            self._failures, self._next_attempt = 0, 0.0
            self.last_error = None
            self._logged.clear()
        return self.rows - before

    def close(self) -> None:
        """Release the spool for another writer."""
        self._batches.close()

    def _committed(self) -> int:
        """Return the number of the last batch of this spool that the table has."""
        return self._current_table().transaction_version(self._batches.app_id) or 0

    def _move(self, batch: Path) -> None:
        """Commit a batch unless the table has it, and delete it."""
        number = number_of(batch)
        if number > self._committed():
            rows, damaged = read_batch(batch)
            if damaged and self._batches.set_aside(batch.name, damaged):
                self.damaged += len(damaged)
            if rows.num_rows:
                assert self._table
                _append(self._table, rows, Transaction(self._batches.app_id, number))
            self.rows += rows.num_rows
        shutil.rmtree(batch)

    def _current_table(self) -> DeltaTable:
        """Return the table at its latest version, created if it does not exist."""
        table, log = self._table, self._path / "_delta_log"
        if table is not None and (log / f"{table.version():020}.json").exists():
            table.update_incremental()
        else:  # the first time, after an error, or after the table was deleted
            table = _open_table(self._path, SCHEMA, ["request_date"], "Requests and answers.")
        self._table = table
        return table

    def _add_served(self) -> None:
        served = dict(self._served)
        if not served:
            return
        path = self._path.with_name("served_entities")
        table = _open_table(path, SERVED_SCHEMA, [], "Served entities, and since when.")
        with _lock(path, seconds=_LOCK_SECONDS) as is_locked:  # servers may add the same row
            if not is_locked:
                raise TimeoutError(f"another process holds {path}")
            table.update_incremental()
            # Through deltalake's own access to files, a process that ends soon after aborts.
            files = fs.SubTreeFileSystem(str(path), fs.LocalFileSystem())
            found = table.to_pyarrow_table(columns=["served_entity_id"], filesystem=files)
            known = set(found[0].to_pylist())
            rows = [row for name, row in served.items() if name not in known]
            if rows:
                _append(table, pa.concat_tables(rows))
        for name in served:
            self._served.pop(name, None)

    def _maintain(self) -> None:
        """Compact small files, and once a day delete files that no reader needs."""
        table = self._current_table()
        if any(_crowded_days(table, size // 2, self._compact_files) for size in _FILE_SIZES):
            with _lock(self._path) as is_locked:
                if is_locked:
                    self._compact(table)
        stamp = self._spool / "vacuumed"
        if not stamp.exists() or time.time() - stamp.stat().st_mtime > _RETENTION.total_seconds():
            table.vacuum(dry_run=False, full=True)
            stamp.touch()

    def _compact(self, table: DeltaTable) -> None:
        """Compact small files under the table's lock.

        In deltalake 1.6 two compactions of the same files both succeed and duplicate every row,
        because a commit that changes no data is not considered a conflict. Therefore only the
        holder of the lock compacts, and it reads the table again first.
        """
        table.update_incremental()
        for size in _FILE_SIZES:
            for day in _crowded_days(table, size // 2, self._compact_files):
                filters = [("request_date", "=", day)]
                table.optimize.compact(filters, target_size=size, max_concurrent_tasks=1)

    def _failed(self, error: Exception) -> None:
        self._table = None  # its state is uncertain
        self._failures += 1
        pause = min(_LONGEST_PAUSE, self._pause * 2 ** min(self._failures - 1, 16))
        self._next_attempt = time.monotonic() + pause
        self.last_error = f"{type(error).__name__}: {error}".partition("\n")[0]
        kind = re.sub(r"[0-9a-f-]*\d[0-9a-f-]*", "#", self.last_error)  # names and versions vary
        if kind not in self._logged:
            self._logged.add(kind)
            text = "Requests wait for the inference table %s in %s: %s. The write will be retried."
            logger.error(text, self._path, self._spool, self.last_error)


@contextmanager
def _lock(table: Path, *, seconds: float = 0.0) -> Iterator[bool]:
    """Lock a table among the servers that write it, within some seconds; yield whether it is."""
    end = time.monotonic() + seconds
    path = table / "_server.lock"  # Delta ignores names with an underscore
    while (lock := file_lock.acquire(path)) is None and time.monotonic() < end:
        time.sleep(_LOCK_POLL_SECONDS)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _open_table(path: Path, schema: pa.Schema, partition_by: list[str], comment: str) -> DeltaTable:
    """Open a table, or create it; two servers may do so at once."""
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
            "set another folder (server.inference_table)."
        )
    return table


def _append(table: DeltaTable, rows: pa.Table, *transactions: Transaction) -> None:
    # Without the comments of the columns: deltalake rejects rows whose comments differ from those
    # of the table, which another release may have created.
    plain = pa.schema([pa.field(field.name, field.type) for field in rows.schema])
    properties = CommitProperties(app_transactions=list(transactions))
    write_deltalake(table, rows.cast(plain), mode="append", commit_properties=properties)


def _crowded_days(table: DeltaTable, small: int, files: int) -> list[str]:
    """Return the days that have many small files."""
    actions = pa.table(table.get_add_actions(flatten=True))
    days = actions.filter(pc.less(actions["size_bytes"], small))["partition.request_date"]
    return [str(day) for day, count in Counter(days.to_pylist()).items() if count >= files]
