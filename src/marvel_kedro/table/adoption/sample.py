"""Find out how a file is written, and read a sample of its rows in bounded memory."""

import codecs
import csv
from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import fsspec
import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.table import raw_text, swallowed_rows
from marvel_kedro.table.cleaning import BYTE_ORDER_MARK, is_named
from marvel_kedro.table.description import ReadOptions
from marvel_kedro.table.missing_markers import WHITESPACE
from marvel_kedro.table.options import MISSING_MARKERS

_MAX_CELLS = 4_000_000
_MAX_ROWS = 200_000
_SEPARATORS = ",;\t|"
_FIRST_ROWS = 200
_FIRST_CHARACTERS = 1 << 20
_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True)
class Sample:
    """Rows of a file, evenly spread.

    Attributes:
        raw: The rows as `raw_text.chunks` returns them.
        cells: The same columns without white space around cells; null where a cell is missing.
        rows: The rows of the whole file.
        read: How the file is read.
        unnamed: Whether the file has a column without a name, which is left out.
    """

    raw: pd.DataFrame
    cells: pd.DataFrame
    rows: int
    read: ReadOptions
    unnamed: bool

    @property
    def is_whole(self) -> bool:
        """Whether it has every row."""
        return len(self.raw) == self.rows


def take(path: Path, separator: str | None = None, encoding: str | None = None) -> Sample:
    """Read a sample of a file.

    Raises:
        ProjectError: The file cannot be read, has no rows, or its header cannot be used.
    """
    if not path.is_file():
        raise ProjectError(f"There is no file {path}.")
    read = ReadOptions()
    if raw_text.format_of(path) == "csv":
        read = _detect(path, separator, encoding)
        swallowed_rows.check(path, read.load_args)
    columns = raw_text.columns_of(path, read)
    _check_header(path, columns)
    raw, rows = _spread_rows(path, read, len(columns))
    if not rows:
        raise ProjectError(f"{path} has a header and no rows: there is nothing to learn from.")
    named = [name for name in raw.columns if is_named(name)]
    return Sample(raw, _clean(raw[named]), rows, read, unnamed=len(named) < len(columns))


def _spread_rows(path: Path, read: ReadOptions, columns: int) -> tuple[pd.DataFrame, int]:
    """Keep each row, then each second, fourth .. as the file turns out to be longer."""
    most = min(_MAX_CELLS // columns, _MAX_ROWS)
    kept, rows, step = pd.DataFrame(), 0, 1
    for frame in raw_text.chunks(path, read):
        frame.index = pd.RangeIndex(rows, rows + len(frame))
        rows += len(frame)
        new = frame[frame.index % step == 0]
        kept = pd.concat([kept, new]) if len(kept) else new
        while len(kept) > most:
            step *= 2
            kept = kept[kept.index % step == 0]
    return kept.reset_index(drop=True), rows


def _clean(raw: pd.DataFrame) -> pd.DataFrame:
    """Strip cells, and make missing ones null, as cleaning does."""
    columns = {}
    for name in raw.columns:
        text = raw[name].str.strip(WHITESPACE + BYTE_ORDER_MARK)
        columns[name] = text.mask(text.isin(["", *MISSING_MARKERS]))
    return pd.DataFrame(columns)


def _check_header(path: Path, columns: list[str]) -> None:
    named = [name for name in columns if is_named(name)]
    twice = sorted(name for name, count in Counter(named).items() if count > 1)
    if twice:
        raise ProjectError(
            f"{path} has several columns named {', '.join(twice)}: rename them in the file."
        )
    if named and all(_is_value(name) for name in named):
        raise ProjectError(
            f"The first line of {path} seems to be data ({', '.join(named[:5])}): write a line "
            "with the names of the columns above it."
        )
    if len(named) < 2:  # noqa: PLR2004 - a target and something to learn from
        raise ProjectError(
            f"{path} has the one column {', '.join(named) or 'without a name'}: a target and "
            "another column are needed. Name the character between the cells: --separator."
        )


def _is_value(name: str) -> bool:
    try:
        float(name.replace(",", "."))
    except ValueError:
        return False
    return True


def _detect(path: Path, separator: str | None, encoding: str | None) -> ReadOptions:
    encoding = encoding or _encoding(path)
    validate(ReadOptions, {"encoding": encoding}, "Name another one: --encoding.")
    if separator is None:
        with raw_text.file_errors(path), _opened(path, encoding) as file:
            separator = _separator(file.read(_FIRST_CHARACTERS).splitlines(keepends=True))
    given = {"encoding": encoding, "separator": separator.replace("\\t", "\t")}
    return validate(ReadOptions, given, "It is one character: --separator.")


def _opened(path: Path, encoding: str | None) -> fsspec.core.OpenFile:
    text = {} if encoding is None else {"encoding": encoding, "newline": ""}
    mode = "rt" if text else "rb"
    return fsspec.open(str(path), mode, compression="infer", **text)


def _encoding(path: Path) -> str:
    """Return UTF-8 where every byte fits, UTF-16 with its mark, else the encoding of Windows."""
    with raw_text.file_errors(path), _opened(path, None) as file:
        blocks = iter(partial(file.read, _BLOCK_BYTES), b"")
        first = next(blocks, b"")
        if not first.strip():
            raise ProjectError(f"{path} is empty.")
        if first.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if b"\0" in first:
            raise ProjectError(
                f"{path} is no text: kedro adopt reads CSV (also .gz), Parquet (.parquet) and "
                "Excel (.xlsx), known by the ending of the name."
            )
        fitting = {
            name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252", "latin-1")
        }
        while first:
            following = next(blocks, b"")
            for name, decoder in list(fitting.items()):
                try:
                    decoder.decode(first, final=not following)
                except UnicodeDecodeError:
                    del fitting[name]
            first = following
    return next(iter(fitting))


def _separator(lines: list[str]) -> str:
    """Return the separator with which most rows have as many cells as the header."""

    def fit(separator: str) -> tuple[float, int]:
        try:
            rows = islice(csv.reader(lines, delimiter=separator), _FIRST_ROWS)
            widths = [len(row) for row in rows if row]
        except csv.Error:
            return 0, 0
        if not widths or widths[0] == 1:
            return 0, 0
        return sum(width == widths[0] for width in widths) / len(widths), widths[0]

    return max(_SEPARATORS, key=fit)
