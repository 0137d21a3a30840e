"""Records by id: what a caller leaves out is taken from the table of characters.

The file is the dataset `online_characters`: SQLite, made whole by `kedro run --pipelines serving`
and put in its place by renaming, never changed in it. So it is opened as immutable, without locks,
and opened anew when another file has taken its place.
"""

import json
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS, text

logger = logging.getLogger(__name__)

ID = "page_id"
INPUTS = frozenset((*TEXT_COLUMNS, *NUMBER_COLUMNS))
LOOK_SECONDS = 1.0
"""How often the file is looked at at most."""

_SELECT = "SELECT fields FROM characters WHERE page_id = ?"
_NAMED = 5
_LONGEST = 200
_CACHE_KIB = 16 * 1024
_SEND_FIELDS = "send the fields themselves, such as name, universe and origin"


class CannotCompleteError(LookupError):
    """Records that have nothing but an id cannot be completed; the message is for the caller.

    Attributes:
        unquoted: The message without the ids.
    """

    def __init__(self, message: str, unquoted: str) -> None:
        super().__init__(message)
        self.unquoted = unquoted


class Lookup:
    """Completes records from the file. Any thread may use it.

    Args:
        path: The file, which may come, go and be replaced while the server runs.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._table: _Table | None = None
        self._seen: object = None
        self._look_at = 0.0

    def complete(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Give records that have a `page_id` the fields that they lack.

        What a record has itself stays, nulls included. A record whose id is unknown stays as it is
        if it has any of the model's fields.

        Args:
            records: They are not changed.

        Returns:
            The very list if no record has a `page_id`; else a new one of the same length.

        Raises:
            CannotCompleteError: Records have an id that is not known and no field of the model's,
                or there is no table to look in.
        """
        for record in records:
            if ID in record:
                return self._complete(records)
        return records

    def _complete(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        table = self._current()
        completed, unknown = [], []
        fault = table.fault if table else _ABSENT
        for record in records:
            stored = None
            if ID in record and not record.keys() >= INPUTS:
                if table and not table.fault:
                    try:
                        stored = table.fields_of(record[ID])
                    except (sqlite3.Error, ValueError) as error:  # of a page that is damaged
                        fault = _DAMAGED
                        logger.warning("%s is damaged: %s", self._path, error)
                if stored is None and record.keys().isdisjoint(INPUTS):
                    unknown.append(record[ID])
            completed.append({**stored, **record} if stored else record)
        if unknown:
            raise CannotCompleteError(fault, fault) if fault else _unknown(unknown)
        return completed

    def _current(self) -> "_Table | None":
        """The table in the file that is there now; None if there is no file.

        Two threads may open it at the same time; one of the two is dropped, and no harm done.
        """
        now = time.monotonic()
        if now < self._look_at:
            return self._table
        seen = _identity(self._path)
        if seen != self._seen:
            table = _Table(self._path) if seen else None
            if table is None or table.fault:
                logger.warning("%s: %s", self._path, table.fault if table else _ABSENT)
            self._table, self._seen = table, seen
        self._look_at = now + LOOK_SECONDS  # last: until then others look themselves
        return self._table


class _Table:
    """An open file. Threads take turns: Python gives them all one and the same statement.

    Attributes:
        fault: Why nothing can be read from it; empty if all is well.
    """

    fault = ""

    def __init__(self, path: Path) -> None:
        address = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()
        try:
            self._connection = sqlite3.connect(address, uri=True, check_same_thread=False)
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._connection.execute(_SELECT, ("",)).fetchone()
        except sqlite3.Error:
            self.fault = _DAMAGED

    def __del__(self) -> None:  # when the last thread that reads from it is done
        if self._connection:
            self._connection.close()

    def fields_of(self, page_id: object) -> dict[str, Any] | None:
        """The fields of a page; None if it is not known.

        A number stands for its text, as in the inference log: else a record would be scored
        without the fields that labels, which do find its page, then speak of.
        """
        assert self._connection
        key = page_id if isinstance(page_id, str) else text(page_id)
        if not key:
            return None
        try:
            with self._turn:
                row = self._connection.execute(_SELECT, (key,)).fetchone()
        except UnicodeEncodeError:  # half a surrogate pair, which no table has
            return None
        return orjson.loads(row[0]) if row else None


_ABSENT = (
    "This server has no table of characters to complete records from: kedro run --pipelines "
    f"serving makes it. Until then {_SEND_FIELDS}."
)
_DAMAGED = (
    "The table of characters that completes records is damaged: kedro run --pipelines serving "
    f"makes it anew. Until then {_SEND_FIELDS}."
)


def _unknown(page_ids: list[Any]) -> CannotCompleteError:
    ids = list(_distinct(page_ids))
    named = ", ".join(json.dumps(page_id)[:_LONGEST] for page_id in ids[:_NAMED])
    more = f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else ""
    begin = f"{len(ids):,} unknown {ID}"
    end = (
        "Records with nothing else are completed "
        f"from the table of characters; of others, {_SEND_FIELDS}."
    )
    return CannotCompleteError(f"{begin}: {named}{more}. {end}", f"{begin}. {end}")


def _distinct(values: list[Any]) -> Iterator[Any]:
    """In the order of their coming; of JSON, so perhaps lists."""
    seen = set()
    for value in values:
        text = repr(value)
        if text not in seen:
            seen.add(text)
            yield value


def _identity(path: Path) -> object:
    """What tells a file from the one before; None if there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
