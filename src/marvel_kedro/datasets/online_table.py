"""The online table: rows that an endpoint looks up by key."""

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
from kedro_datasets._typing import TablePreview
from narwhals.typing import IntoFrame

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.datasets.base import Metadata, ProjectDataset
from marvel_kedro.table.frames import lazily, rows_by

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class OnlineTableDataset(ProjectDataset[IntoFrame, pd.DataFrame]):
    """A SQLite file with the table `online_records`: the key, and the other columns as JSON text.

    - The key is the first column of the frame that is saved, and has its name in the file.
    - A save replaces the whole file atomically, from a frame of any engine, in bounded memory where
      the engine is lazy. Equal rows give equal bytes.
    - Readers may open the file as immutable (`?immutable=1`), because a save creates a new one.
    - SQLite writes at random positions, which volumes of object storage refuse. The file is
      therefore made in the folder for temporary files (`TMPDIR`) and copied.
    """

    def __init__(self, filepath: str, metadata: Metadata = None) -> None:
        self._filepath = Path(filepath)
        super().__init__(metadata)

    def save(self, data: IntoFrame) -> None:
        """Write the rows, ordered by the key; raise a ProjectError if TMPDIR has no room."""
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
        """Read the whole table: the key and a column for each field, ordered by the key."""
        return self._read()

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows for kedro-viz."""
        frame = self._read(nrows)
        return TablePreview(frame.astype(object).where(frame.notna(), None).to_dict("split"))

    def _read(self, rows: int = -1) -> pd.DataFrame:
        address = f"{self._filepath.absolute().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            select = "SELECT * FROM online_records ORDER BY 1 LIMIT ?"
            found = connection.execute(select, (rows,))
            key = found.description[0][0]
            return pd.DataFrame([{key: value, **json.loads(fields)} for value, fields in found])

    def _exists(self) -> bool:
        return self._filepath.is_file()


def _write(path: Path, data: IntoFrame) -> None:
    key, *fields = lazily(data).collect_schema().names()
    with closing(sqlite3.connect(path)) as connection:
        # No reader sees this file before it is complete: nothing to roll back.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            # A name of the table description neither begins with _ nor holds a quote.
            f"CREATE TABLE online_records (`{key}` TEXT PRIMARY KEY, _fields TEXT NOT NULL) "
            "WITHOUT ROWID"
        )
        with connection:
            connection.executemany(
                "INSERT INTO online_records VALUES (?, ?)", _entries(data, key, fields)
            )


def _entries(data: IntoFrame, key: str, fields: list[str]) -> Iterator[tuple[str, str]]:
    for value, *values in rows_by(data, key):
        # NaN, an engine's other null, is no JSON.
        given = (None if value != value else value for value in values)  # noqa: PLR0124
        yield value, _to_json(dict(zip(fields, given, strict=True)))
