"""Records by key: fields that a caller leaves out are taken from `online_records`.

The file is the dataset `online_records`: SQLite, written by `kedro run --pipelines serving` and
replaced as a whole by renaming, never changed in place. It is therefore opened as immutable,
without locks, and opened again when another file has replaced it.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import KeysView
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from marvel_kedro.model.portable.fields import text
from marvel_kedro.serving.http.errors import RequestError, invalid_value
from marvel_kedro.table.description import TableSpec

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Least time between two checks for another file."""

_QUOTED_KEYS = 5
_QUOTED_CHARACTERS = 200
_ABSENT = (
    "This server has no table online_records to complete records from: kedro run --pipelines "
    "serving creates it."
)
_REMEDY = "kedro run --pipelines serving creates it again."
_DAMAGED = f"The table online_records, which completes records, is damaged: {_REMEDY}"
_OUTDATED = (
    "The table online_records, which completes records, has the key {} in place of {}: "
    f"{_REMEDY}"
)


class Lookup:
    """Completes records from a file that may be created, replaced and deleted. Thread-safe."""

    def __init__(self, path: Path, table: TableSpec) -> None:
        self._path = path
        self._key = table.key
        self._table = _Table(None, self._key)
        self._identity: object = None
        self._look_at = 0.0

    def complete(
        self, records: list[dict[str, Any]], inputs: KeysView[str]
    ) -> list[dict[str, Any]]:
        """Add missing fields to records that have a key.

        Fields of a record stay as they are, nulls included. A record with an unknown key stays as
        it is if it has any of `inputs`, the model's fields.

        Returns:
            The same list if no record has a key; else a new one of the same length. The given
            records are not changed.

        Raises:
            RequestError: 400; records have an unknown key and none of the model's fields, or the
                table is missing, damaged or of another key.
        """
        key = self._key
        for record in records:
            if key in record:
                return self._complete(records, key, inputs)
        return records

    def _complete(
        self, records: list[dict[str, Any]], key: str, inputs: KeysView[str]
    ) -> list[dict[str, Any]]:
        table = self._current()
        completed, unknown = [], []
        fault = table.fault
        for record in records:
            stored = None
            if key in record and not record.keys() >= inputs:
                if not table.fault:
                    try:
                        stored = table.fields_of(record[key])
                    except (sqlite3.Error, ValueError) as error:  # a damaged page
                        fault = _DAMAGED
                        logger.warning("%s is damaged: %s", self._path, error)
                if stored is None and record.keys().isdisjoint(inputs):
                    unknown.append(record[key])
            completed.append({**stored, **record} if stored else record)
        if unknown:
            send = f"send the fields themselves, such as {', '.join([*inputs][:3])}."
            if fault:
                raise invalid_value(f"{fault} Until then {send}")
            raise _unknown_keys(unknown, key, send)
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
            table = _Table(self._path if identity else None, self._key)
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

    def __init__(self, path: Path | None, key: str) -> None:
        self.fault = "" if path else _ABSENT
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()
        if path is None:
            return
        address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        try:
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            self._connection.execute("PRAGMA cache_size = -16384")  # KiB
            # By place: the columns are the key and, with another name in earlier releases, JSON.
            columns = self._connection.execute("SELECT * FROM online_records LIMIT 0").description
            (found, *_), (fields, *_) = columns
            self._select = f"SELECT `{fields}` FROM online_records WHERE `{found}` = ?"  # noqa: S608
            self._connection.execute(self._select, ("",)).fetchone()
            if found != key:
                self.fault = _OUTDATED.format(found, key)
        except (sqlite3.Error, ValueError):
            self.fault = _DAMAGED

    def __del__(self) -> None:  # when the last thread has finished reading
        if self._connection:
            self._connection.close()

    def fields_of(self, value: object) -> dict[str, Any] | None:
        """Return the fields of a key; None if it is unknown.

        A number is looked up as its text, as in the inference log: otherwise a record would be
        scored without the fields of the row that its label belongs to.
        """
        assert self._connection
        key = value if isinstance(value, str) else text(value)
        if not key:
            return None
        try:
            with self._turn:
                row = self._connection.execute(self._select, (key,)).fetchone()
        except UnicodeEncodeError:  # a lone surrogate, which no table contains
            return None
        return orjson.loads(row[0]) if row else None


def _unknown_keys(values: list[Any], key: str, send: str) -> RequestError:
    distinct = list({repr(value): value for value in values}.values())  # lists have no hash
    quoted = ", ".join(json.dumps(value)[:_QUOTED_CHARACTERS] for value in distinct[:_QUOTED_KEYS])
    more = f" and {len(distinct) - _QUOTED_KEYS:,} more" if len(distinct) > _QUOTED_KEYS else ""
    count = f"{len(distinct):,} unknown {key}"
    remedy = (
        "Records with nothing else are completed from the table online_records; "
        f"for other records, {send}"
    )
    return invalid_value(f"{count}: {quoted}{more}. {remedy}", (key, f"{count}. {remedy}"))
