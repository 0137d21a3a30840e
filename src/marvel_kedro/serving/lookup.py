"""Records by id: fields that a caller leaves out are taken from `online_records`.

The file is the dataset `online_records`: SQLite, written by `kedro run --pipelines serving` and
replaced as a whole by renaming, never changed in place. It is therefore opened as immutable,
without locks, and opened again when another file has replaced it.
"""

import json
import logging
import sqlite3
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS, text
from marvel_kedro.serving.http.errors import RequestError, invalid_value

logger = logging.getLogger(__name__)

ID = "page_id"
INPUTS = frozenset((*TEXT_COLUMNS, *NUMBER_COLUMNS))
LOOK_SECONDS = 1.0
"""Least time between two checks for another file."""

_SELECT = "SELECT fields FROM online_records WHERE page_id = ?"
_QUOTED_IDS = 5
_QUOTED_CHARACTERS = 200
_SEND_FIELDS = "send the fields themselves, such as name, universe and origin"
_ABSENT = (
    "This server has no table online_records to complete records from: kedro run --pipelines "
    f"serving creates it. Until then {_SEND_FIELDS}."
)
_DAMAGED = (
    "The table online_records, which completes records, is damaged: kedro run --pipelines serving "
    f"creates it again. Until then {_SEND_FIELDS}."
)


class Lookup:
    """Completes records from a file that may be created, replaced and deleted. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table = _Table(None)
        self._identity: object = None
        self._look_at = 0.0

    def complete(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Add missing fields to records that have a `page_id`.

        Fields of a record stay as they are, nulls included. A record with an unknown id stays as
        it is if it has any of the model's fields.

        Returns:
            The same list if no record has a `page_id`; else a new one of the same length. The given
            records are not changed.

        Raises:
            RequestError: 400; records have an unknown id and none of the model's fields, or the
                table is missing or damaged.
        """
        for record in records:
            if ID in record:
                return self._complete(records)
        return records

    def _complete(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        table = self._current()
        completed, unknown = [], []
        fault = table.fault
        for record in records:
            stored = None
            if ID in record and not record.keys() >= INPUTS:
                if not table.fault:
                    try:
                        stored = table.fields_of(record[ID])
                    except (sqlite3.Error, ValueError) as error:  # a damaged page
                        fault = _DAMAGED
                        logger.warning("%s is damaged: %s", self._path, error)
                if stored is None and record.keys().isdisjoint(INPUTS):
                    unknown.append(record[ID])
            completed.append({**stored, **record} if stored else record)
        if unknown:
            raise invalid_value(fault) if fault else _unknown_ids(unknown)
        return completed

    def _current(self) -> "_Table":
        """Return the table of the current file; if two threads open it, one table is dropped."""
        now = time.monotonic()
        if now < self._look_at:
            return self._table
        try:
            found = self._path.stat()
            identity = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        except OSError:
            identity = None
        if identity != self._identity:
            table = _Table(self._path if identity else None)
            if table.fault:
                logger.warning("%s: %s", self._path, table.fault)
            self._table, self._identity = table, identity
        self._look_at = now + LOOK_SECONDS  # last, so that until then other threads look themselves
        return self._table


class _Table:
    """An open file, or none. Threads take turns: Python gives all of them the same statement.

    Attributes:
        fault: Why the file cannot be read; empty if it can.
    """

    def __init__(self, path: Path | None) -> None:
        self.fault = "" if path else _ABSENT
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()
        if path is None:
            return
        address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            self._connection.execute("PRAGMA cache_size = -16384")  # KiB
            self._connection.execute(_SELECT, ("",)).fetchone()
        except sqlite3.Error:
            self.fault = _DAMAGED

    def __del__(self) -> None:  # when the last thread has finished reading
        if self._connection:
            self._connection.close()

    def fields_of(self, page_id: object) -> dict[str, Any] | None:
        """Return the fields of a page; None if it is unknown.

        A number is looked up as its text, as in the inference log: otherwise a record would be
        scored without the fields of the page that its label belongs to.
        """
        assert self._connection
        key = page_id if isinstance(page_id, str) else text(page_id)
        if not key:
            return None
        try:
            with self._turn:
                row = self._connection.execute(_SELECT, (key,)).fetchone()
        except UnicodeEncodeError:  # a lone surrogate, which no table contains
            return None
        return orjson.loads(row[0]) if row else None


def _unknown_ids(page_ids: list[Any]) -> RequestError:
    ids = list({repr(page_id): page_id for page_id in page_ids}.values())  # lists have no hash
    quoted = ", ".join(json.dumps(page_id)[:_QUOTED_CHARACTERS] for page_id in ids[:_QUOTED_IDS])
    more = f" and {len(ids) - _QUOTED_IDS:,} more" if len(ids) > _QUOTED_IDS else ""
    count = f"{len(ids):,} unknown {ID}"
    remedy = (
        "Records with nothing else are completed from the table online_records; "
        f"for other records, {_SEND_FIELDS}."
    )
    return invalid_value(f"{count}: {quoted}{more}. {remedy}", (ID, f"{count}. {remedy}"))
