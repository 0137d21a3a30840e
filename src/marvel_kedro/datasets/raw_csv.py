"""The raw CSV file, read as text and written as a stream."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd
from fsspec.compression import compr
from fsspec.utils import infer_compression
from kedro_datasets.pandas import CSVDataset

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.datasets import swallowed_rows

BETTER_FILE = (
    "Put the Kaggle file (mohitbansal31s/marvel-characters) in its place, or move it away: kedro "
    "run then makes synthetic rows."
)
_FIX_ROWS = (
    "Put cells that hold a comma in quotes, name every column in the header, or set load_args.sep "
    "of raw_table if another character separates the cells (docs/own-data.md)."
)


class RawCSVDataset(CSVDataset):  # type: ignore[misc]
    """A CSV file of text: cells are not converted, and an empty cell is an empty string.

    Cleaning interprets the cells. Saving takes an iterable of frames, so that a file of any length
    is written in bounded memory. Errors in the file raise a `ProjectError`.
    """

    DEFAULT_LOAD_ARGS: dict[str, Any] = {"dtype": "str", "keep_default_na": False}  # noqa: RUF012
    DEFAULT_SAVE_ARGS: dict[str, Any] = {"index": False, "lineterminator": "\n"}  # noqa: RUF012

    def load(self) -> pd.DataFrame:
        """Read the whole file as strings, with the columns as the file names them.

        Raise a ProjectError if the file is missing, empty, not UTF-8 or not CSV, has rows with more
        cells than columns, or cells with rows in them.
        """
        path = self._existing_file()
        swallowed_rows.check(path, self._load_args)
        try:
            frame = cast("pd.DataFrame", pd.read_csv(path, **self._load_args))
        except pd.errors.EmptyDataError as error:
            raise ProjectError(f"{path} is empty. {BETTER_FILE}") from error
        except UnicodeDecodeError as error:
            raise not_utf8(path, error) from error
        except pd.errors.ParserError as error:
            raise ProjectError(
                f"{path} is not a CSV file: {str(error).strip()}. {_FIX_ROWS} {BETTER_FILE}"
            ) from error
        return frame if "index_col" in self._load_args else _align_with_header(frame, path)

    def _existing_file(self) -> Path:
        path = Path(str(self._filepath))
        if not path.is_file():
            raise ProjectError(
                f"There is no raw file at {path}. Put the Kaggle file (mohitbansal31s/"
                "marvel-characters) there, or make synthetic data: kedro run --pipelines synthetic."
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


def not_utf8(path: Path, error: UnicodeDecodeError) -> ProjectError:
    """Return the error for a file in another encoding."""
    return ProjectError(
        f"{path} is not UTF-8 text: it has the byte {error.object[error.start]:#04x}. "
        "Convert it (iconv -f latin1 -t utf-8), or set load_args.encoding of "
        "raw_table in conf/base/processing/catalog.yml."
    )


def _align_with_header(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Move the cells of an index back into columns: pandas uses extra cells of rows as an index.

    With `index_col=False` pandas would drop the last cells of such rows instead.
    """
    if isinstance(frame.index, pd.RangeIndex):
        return frame
    cells = pd.concat([frame.index.to_frame(index=False), frame.reset_index(drop=True)], axis=1)
    width = len(frame.columns)
    lost = (cells.iloc[:, width:] != "").any(axis=1)  # a trailing comma adds only an empty cell
    if lost.any():
        raise ProjectError(
            f"{path} has rows with more cells than columns: {lost.sum():,}, the first is row "
            f"{lost.argmax() + 1:,} below the header. {_FIX_ROWS}"
        )
    return cells.iloc[:, :width].set_axis(frame.columns, axis=1)
