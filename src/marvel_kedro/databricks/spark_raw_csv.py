"""The catalog type for the raw file, read by Spark or Sail."""

import codecs
from functools import partial
from pathlib import Path
from typing import Any

import narwhals as nw
from kedro_datasets._typing import TablePreview
from pyspark.sql import DataFrame

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import session
from marvel_kedro.datasets import swallowed_rows
from marvel_kedro.datasets.raw_csv import BETTER_FILE, RawCSVDataset, not_utf8
from marvel_kedro.table.frames import lazily

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
            ProjectError: The file is missing, empty, not UTF-8, or has cells with rows in them.
        """
        path = self._existing_file()
        if not path.stat().st_size:
            raise ProjectError(f"{path} is empty. {BETTER_FILE}")
        given = {key: self._load_args[key] for key in ("sep", "encoding") if key in self._load_args}
        encoding = given.get("encoding", "utf-8")
        is_utf8 = codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")
        if is_utf8:
            _check_utf8(path)
        swallowed_rows.check(path, given)
        reader = session.active().read.options(**_OPTIONS, **given)
        frame = reader.csv(str(path.absolute()))
        if not is_utf8:
            _check_decoded(frame, path, encoding)
        return frame

    def preview(self, nrows: int = 5) -> TablePreview:
        """Read the first rows with pandas, which needs no engine."""
        file: Any = RawCSVDataset(filepath=str(self._filepath), load_args=self._load_args)
        return file.preview(nrows)


def _check_decoded(frame: DataFrame, path: Path, encoding: str) -> None:
    """Refuse a file in an encoding that the engine does not read: Sail takes all for UTF-8."""
    replaced = nw.any_horizontal(nw.all().str.contains("\ufffd", literal=True), ignore_nulls=True)
    if lazily(frame).filter(replaced).select(nw.len()).lazy().collect().item():
        raise ProjectError(
            f"This engine reads {path} as UTF-8, although load_args.encoding of raw_table is "
            f"{encoding}. Convert the file (iconv -f {encoding} -t utf-8) and remove that setting."
        )


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
