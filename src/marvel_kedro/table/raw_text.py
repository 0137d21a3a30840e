"""Read the raw file as text, in bounded memory: CSV, Parquet or a sheet of Excel."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table.description import ReadOptions

BETTER_FILE = (
    "Put the file that table.yml describes in its place, or describe another one: kedro adopt FILE."
)
_FIX_ROWS = (
    "Put cells that hold a comma in quotes, name every column in the header, or set `read: "
    "{separator: ..}` in table.yml if another character separates the cells (docs/own-data.md)."
)
AS_TEXT: dict[str, Any] = {"dtype": "str", "keep_default_na": False}
"""Arguments of pandas: cells are not converted, and an empty cell is an empty string."""

_MOST_DIGITS = 1e15
_CELLS = 2_000_000  # of a chunk
_EXCEL = frozenset({".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"})
_PARQUET = frozenset({".parquet", ".pq"})


def format_of(path: Path) -> Literal["csv", "parquet", "excel"]:
    """Return the format of a file by its suffix; all that is not known counts as CSV."""
    suffix = path.suffix.lower()
    return "parquet" if suffix in _PARQUET else "excel" if suffix in _EXCEL else "csv"


def columns_of(path: Path, read: ReadOptions) -> list[str]:
    """Return the names of the columns as every engine but pandas has them: also repeated ones."""
    with file_errors(path):
        match format_of(path):
            case "parquet":
                with pq.ParquetFile(path) as file:
                    return list(file.schema_arrow.names)
            case "excel":
                return list(_excel(path).columns)
            case _:
                header = pd.read_csv(path, header=None, nrows=1, **AS_TEXT, **read.load_args)
                return [str(name) for name in header.iloc[0]]


def chunks(path: Path, read: ReadOptions) -> Iterator[pd.DataFrame]:
    """Yield frames of text, at least one, of two million cells; an empty cell is an empty string.

    A sheet of Excel is one frame.

    Raises:
        ProjectError: The file cannot be read, or lacks what its format needs.
    """
    kind = format_of(path)
    if kind == "excel":
        with file_errors(path):
            yield _excel(path)
        return
    rows = max(_CELLS // max(len(columns_of(path, read)), 1), 100)
    with file_errors(path):
        if kind == "parquet":
            yield from _parquet(path, rows)
            return
        with pd.read_csv(path, chunksize=rows, **AS_TEXT, **read.load_args) as reader:
            for frame in reader:
                yield align_with_header(frame, path)


def _parquet(path: Path, rows: int) -> Iterator[pd.DataFrame]:
    with pq.ParquetFile(path) as file:
        if not file.metadata.num_rows:
            yield _as_text(file.schema_arrow.empty_table())
        for batch in file.iter_batches(rows):
            yield _as_text(pa.Table.from_batches([batch]))


def _as_text(table: pa.Table) -> pd.DataFrame:
    texts = [_text_column(column.combine_chunks()) for column in table.columns]
    found = pa.Table.from_arrays(texts, names=table.column_names)
    return found.to_pandas().astype("str").fillna("")


def _text_column(column: pa.Array) -> pa.Array:
    """Return values as text without loss: 3 for 3.0, plain decimals, times as ISO 8601."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return pc.binary_join(pc.cast(column, pa.list_(pa.string())), ";")
    if pa.types.is_nested(column.type) or pa.types.is_duration(column.type):
        texts = [None if each is None else str(each) for each in column.to_pylist()]
        return pa.array(texts, pa.string())
    text = pc.cast(column, pa.string())
    if pa.types.is_timestamp(column.type):
        for needless, instead in ((r"\.0+$", ""), (r"\.0+Z$", "Z"), (r" 00:00:00$", "")):
            text = pc.replace_substring_regex(text, needless, instead)
    if not pa.types.is_floating(column.type):
        return text
    plain = [
        _positional(float(each)) if each and "e" in each else each for each in text.to_pylist()
    ]
    return pa.array([None if each == "nan" else each for each in plain], pa.string())


def _positional(value: float) -> str:
    """Return a number without an exponent, unless it would have more digits than a float keeps."""
    if abs(value) < _MOST_DIGITS:
        return np.format_float_positional(value, trim="-")
    return repr(value)


def _excel(path: Path) -> pd.DataFrame:
    try:
        from python_calamine import CalamineError, CalamineWorkbook  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ProjectError(
            f"Reading {path} needs the extra excel: pip install -e '.[excel]'. Or save the sheet "
            "as CSV."
        ) from error
    try:
        book = CalamineWorkbook.from_path(str(path))
        rows = book.get_sheet_by_index(0).to_python(skip_empty_area=True)
    except (CalamineError, IndexError) as error:
        raise ProjectError(f"{path} is no readable Excel file: {error}. {BETTER_FILE}") from error
    if not rows:
        raise ProjectError(f"The first sheet of {path} is empty. {BETTER_FILE}")
    header, *cells = [[_excel_text(cell) for cell in row] for row in rows]
    return pd.DataFrame(cells, columns=header, dtype="str")


def _excel_text(value: Any) -> str:  # noqa: ANN401 - any cell
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _positional(value)
    if isinstance(value, datetime):
        has_time = value.time() != time()
        return value.isoformat(" ") if has_time else value.date().isoformat()
    return value.isoformat() if isinstance(value, (date, time)) else str(value)


@contextmanager
def file_errors(path: Path) -> Iterator[None]:
    """Turn the errors of the readers into messages that name the file and the remedy."""
    try:
        yield
    except pd.errors.EmptyDataError as error:
        raise ProjectError(f"{path} is empty. {BETTER_FILE}") from error
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from error
    except pd.errors.ParserError as error:
        raise ProjectError(
            f"{path} is not a CSV file: {str(error).strip()}. {_FIX_ROWS} {BETTER_FILE}"
        ) from error
    except pa.ArrowInvalid as error:
        raise ProjectError(f"{path} is no readable Parquet file: {error}. {BETTER_FILE}") from error
    except (EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise ProjectError(f"{path} cannot be unpacked: {error}. {BETTER_FILE}") from error


def not_utf8(path: Path, error: UnicodeDecodeError) -> ProjectError:
    """Return the error for a file in another encoding."""
    return ProjectError(
        f"{path} is not {error.encoding.upper()} text: it has the byte "
        f"{error.object[error.start]:#04x}. Convert it (iconv -f latin1 -t utf-8), or set "
        "`read: {encoding: ..}` in table.yml."
    )


def align_with_header(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
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
