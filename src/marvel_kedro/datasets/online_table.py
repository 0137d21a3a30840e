"""A table that is read a row at a time, by its key."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview
from narwhals.typing import IntoFrame

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table.frames import lazily, rows_by

_KEY = "page_id"
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class OnlineTableDataset(AbstractDataset[IntoFrame, pd.DataFrame]):
    """A SQLite file with the table `characters`: `page_id`, and the other columns as a JSON text.

    It is made anew by each save, whole or not at all, from a frame of any engine, in bounded
    memory where the engine is lazy. The same rows give the same bytes. Whoever reads it may take it
    for immutable (`?immutable=1`); another save puts another file in its place.

    SQLite writes here and there in its file, which volumes of object storage refuse. So it is made
    in the folder for temporary files (`TMPDIR`) and copied from there.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def save(self, data: IntoFrame) -> None:
        """Write the rows, in the order of the key.

        Raises:
            ProjectError: The temporary folder has no room.
        """
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / self._filepath.name
            try:
                _write(made, data)
            except sqlite3.OperationalError as error:
                raise ProjectError(
                    f"{self._filepath} could not be made in {folder}: {error}. Free some space "
                    "there, or set TMPDIR to another folder, and run the same command again."
                ) from error
            with made.open("rb") as source, AtomicFile(self._filepath, "wb") as target:
                shutil.copyfileobj(source, target, 1 << 20)

    def load(self) -> pd.DataFrame:
        """Read the whole table.

        Returns:
            `page_id` and the fields, each a column, in the order of `page_id`.
        """
        return self._read()

    def preview(self, nrows: int = 5) -> TablePreview:
        """Read the first rows, for kedro-viz."""
        frame = self._read(nrows)
        return TablePreview(frame.astype(object).where(frame.notna(), None).to_dict("split"))

    def _read(self, rows: int = -1) -> pd.DataFrame:
        address = f"{self._filepath.absolute().as_uri()}?mode=ro&immutable=1"
        connection = sqlite3.connect(address, uri=True)
        try:
            select = "SELECT page_id, fields FROM characters ORDER BY page_id LIMIT ?"
            found = connection.execute(select, (rows,)).fetchall()
        finally:
            connection.close()
        return pd.DataFrame([{_KEY: page_id, **json.loads(fields)} for page_id, fields in found])

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _write(path: Path, data: IntoFrame) -> None:
    connection = sqlite3.connect(path)
    try:
        # Nobody sees this file before it is whole: nothing to roll back.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE characters (page_id TEXT PRIMARY KEY, fields TEXT NOT NULL) WITHOUT ROWID"
        )
        with connection:
            connection.executemany("INSERT INTO characters VALUES (?, ?)", _entries(data))
    finally:
        connection.close()


def _entries(data: IntoFrame) -> Iterator[tuple[str, str]]:
    key, *fields = lazily(data).collect_schema().names()
    if key != _KEY:
        raise ProjectError(f"The first column of an online table is {_KEY}, and this is {key}.")
    for page_id, *values in rows_by(data, _KEY):
        # NaN, an engine's other null, is no JSON.
        given = (None if value != value else value for value in values)  # noqa: PLR0124
        yield page_id, _to_json(dict(zip(fields, given, strict=True)))
