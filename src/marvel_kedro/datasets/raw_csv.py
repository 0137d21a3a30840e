"""The raw file, read as text and written as a stream."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd
from fsspec.compression import compr
from fsspec.utils import infer_compression
from kedro_datasets._typing import TablePreview
from kedro_datasets.pandas import CSVDataset

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.table import raw_text, swallowed_rows
from marvel_kedro.table.description import REMEDY, ReadOptions


class RawCSVDataset(CSVDataset):  # type: ignore[misc]
    """A file of text, CSV by default: cells are not converted, an empty one is an empty string.

    A file that ends in .parquet or is Excel's is read by its own format. Cleaning interprets the
    cells. Saving takes an iterable of frames and makes CSV, so that a file of any length is written
    in bounded memory. Errors in the file raise a `ProjectError`.

    `read` is that section of the table description; `load_args` are pandas' own, which win.
    """

    DEFAULT_LOAD_ARGS: dict[str, Any] = raw_text.AS_TEXT
    DEFAULT_SAVE_ARGS: dict[str, Any] = {"index": False, "lineterminator": "\n"}  # noqa: RUF012

    def __init__(
        self,
        *,
        filepath: str,
        read: dict[str, Any] | None = None,
        load_args: dict[str, Any] | None = None,
        **options: Any,  # noqa: ANN401 - Kedro's
    ) -> None:
        self._read = validate(ReadOptions, read or {}, REMEDY)
        arguments = self._read.load_args | (load_args or {})
        super().__init__(filepath=filepath, load_args=arguments, **options)

    def load(self) -> pd.DataFrame:
        """Read the whole file as strings, with the columns as the file names them.

        Raise a ProjectError if the file is missing, empty, in another encoding or format, has rows
        with more cells than columns, or cells with rows in them.
        """
        path = self._existing_file()
        if raw_text.format_of(path) != "csv":
            return pd.concat(raw_text.chunks(path, self._read), ignore_index=True)
        swallowed_rows.check(path, self._load_args)
        with raw_text.file_errors(path):
            frame = cast("pd.DataFrame", pd.read_csv(path, **self._load_args))
        return frame if "index_col" in self._load_args else raw_text.align_with_header(frame, path)

    def preview(self, nrows: int = 5) -> TablePreview:
        """Return the first rows."""
        path = Path(str(self._filepath))
        if raw_text.format_of(path) == "csv":
            return cast("TablePreview", super().preview(nrows))
        (frame,) = islice(raw_text.chunks(path, self._read), 1)
        return cast("TablePreview", frame.head(nrows).to_dict(orient="split"))

    def _existing_file(self) -> Path:
        path = Path(str(self._filepath))
        if not path.is_file():
            raise ProjectError(
                f"There is no raw file at {path}. Put it there, or describe another file: kedro "
                "adopt FILE. For the table that the project comes with, synthetic rows can be "
                "made: kedro run --pipelines synthetic."
            )
        return path

    def save(self, data: Iterable[pd.DataFrame]) -> None:
        """Write frames one after the other; the file appears after the last one."""
        with self._open_to_write() as file:
            for number, frame in enumerate(data):
                frame.to_csv(file, header=number == 0, **self._save_args)
        self._invalidate_cache()

    @contextmanager
    def _open_to_write(self) -> Iterator[IO[str]]:
        """Open the file for text, compressed as pandas reads it: by its name, or as configured."""
        path, packed = str(self._filepath), self._load_args.get("compression", "infer")
        packed = infer_compression(path) if packed == "infer" else packed
        if packed is None:
            with self._fs.open(path, mode="w", encoding="utf-8", newline="") as file:
                yield file
            return
        with (
            self._fs.open(path, mode="wb") as whole,
            compr[packed](whole, mode="wb") as file,
            io.TextIOWrapper(file, encoding="utf-8", newline="") as text,
        ):
            yield text
