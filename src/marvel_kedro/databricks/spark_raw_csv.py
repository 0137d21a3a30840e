"""The catalog type for the raw file, read by Spark or Sail."""

import codecs
from functools import partial
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.utils import infer_compression
from kedro_datasets._typing import TablePreview
from pyspark.sql import DataFrame

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import session
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.table import raw_text, swallowed_rows
from marvel_kedro.table.description import ReadOptions

_BLOCK_BYTES = 1 << 24
_OPTIONS: dict[str, bool | str] = {
    "header": True,
    "multiLine": True,
    "escape": '"',
    # By default Spark drops the extra cells of a long row and fills up a short one.
    "mode": "FAILFAST",
}


class SparkRawCSVDataset(RawCSVDataset):
    """A file of text that Spark reads lazily; it is written as `RawCSVDataset` writes it.

    Of `load_args` it uses `sep` and `encoding`. A file that engines read in different ways, which
    is all but plain UTF-8, is first copied as text to a Parquet file in `02_intermediate`.
    """

    def load(self) -> DataFrame:  # type: ignore[override]
        """Return a lazy frame of text, with the file's columns; an empty cell is null.

        Raises:
            ProjectError: The file is missing, empty, in another encoding or format, or has cells
                with rows in them.
        """
        path = self._existing_file()
        if not path.stat().st_size:
            raise ProjectError(f"{path} is empty. {raw_text.BETTER_FILE}")
        given = {key: self._load_args[key] for key in ("sep", "encoding") if key in self._load_args}
        is_csv = raw_text.format_of(path) == "csv"
        if is_csv:
            swallowed_rows.check(path, given)
        is_utf8 = codecs.lookup(given.get("encoding", "utf-8")).name in ("utf-8", "utf-8-sig")
        reader = session.active().read
        if not is_csv or not is_utf8 or infer_compression(path.name):
            return reader.parquet(str(_text_copy(path, given).absolute()))
        _check_utf8(path)
        return reader.options(**_OPTIONS, **given).csv(str(path.absolute()))

    def preview(self, nrows: int = 5) -> TablePreview:
        """Read the first rows with pandas, which needs no engine."""
        return RawCSVDataset(filepath=str(self._filepath), load_args=self._load_args).preview(nrows)


def _text_copy(path: Path, given: dict[str, str]) -> Path:
    """Copy the file as text to a Parquet file, in bounded memory."""
    read = ReadOptions(separator=given.get("sep", ","), encoding=given.get("encoding", "utf-8"))
    copy = path.parent.with_name("02_intermediate") / f"{path.name}.text.parquet"
    frames = raw_text.chunks(path, read)
    first = next(frames)
    schema = pa.schema([(name, pa.string()) for name in first.columns])
    with AtomicFile(copy, "wb") as file, pq.ParquetWriter(file, schema) as writer:
        for frame in chain([first], frames):
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
    return copy


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
            raise raw_text.not_utf8(path, error) from error
