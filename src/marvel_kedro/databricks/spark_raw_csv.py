"""The catalog type for the raw file, read by Spark or Sail."""

import codecs
from functools import partial
from pathlib import Path
from typing import Any

from kedro_datasets._typing import TablePreview
from pyspark.sql import DataFrame

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import session
from marvel_kedro.datasets.raw_csv import BETTER_FILE, RawCSVDataset, not_utf8

_BLOCK_BYTES = 1 << 24
_OPTIONS: dict[str, bool | str] = {
    "header": True,
    "multiLine": True,
    "escape": '"',
    # By default Spark drops the extra cells of a long row and fills up a short one.
    "mode": "FAILFAST",
}


class SparkRawCSVDataset(RawCSVDataset):
    """A CSV file of text that Spark reads lazily; it is written as `RawCSVDataset` writes it.

    Of `load_args` it uses `sep` and `encoding`.
    """

    def load(self) -> DataFrame:  # type: ignore[override]
        """Return a lazy frame of text, with the file's columns; an empty cell is null.

        Raises:
            ProjectError: The file is missing, empty or not UTF-8.
        """
        path = self._existing_file()
        if not path.stat().st_size:
            raise ProjectError(f"{path} is empty. {BETTER_FILE}")
        given = {key: self._load_args[key] for key in ("sep", "encoding") if key in self._load_args}
        if codecs.lookup(given.get("encoding", "utf-8")).name in ("utf-8", "utf-8-sig"):
            _check_utf8(path)
        reader = session.active().read.options(**_OPTIONS, **given)
        return reader.csv(str(path.absolute()))

    def preview(self, nrows: int = 5) -> TablePreview:
        """Read the first rows with pandas, which needs no engine."""
        file: Any = RawCSVDataset(filepath=str(self._filepath), load_args=self._load_args)
        return file.preview(nrows)


def _check_utf8(path: Path) -> None:
    """Refuse a file in another encoding: Sail and Spark would read U+FFFD for its other bytes.

    The pass over the bytes takes a second a gigabyte, little beside the engine's work. Searching
    the table for U+FFFD instead would refuse text that contains it.
    """
    with path.open("rb") as file:
        blocks = iter(partial(file.read, _BLOCK_BYTES), b"")
        try:
            for _ in codecs.iterdecode(blocks, "utf-8"):
                pass
        except UnicodeDecodeError as error:
            raise not_utf8(path, error) from error
