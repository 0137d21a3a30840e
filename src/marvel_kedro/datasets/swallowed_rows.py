"""Find rows of a CSV file that an unclosed quote has made part of a cell.

Every reader takes the text up to the next quote for one cell, and says nothing.
"""

import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import fsspec

from marvel_kedro.core.errors import ProjectError

_MAX_LINES = 100_000  # that are parsed together
_DIALECT = ("quotechar", "escapechar", "doublequote")


def check(path: Path, load_args: dict[str, Any]) -> None:
    """Raise a `ProjectError` for the first cell that holds other rows, with its line.

    A file without quotes, or whose separator or encoding `csv` cannot read, is not checked.
    """
    separator, encoding = load_args.get("sep", ","), load_args.get("encoding") or "utf-8"
    is_plain = '"\n'.encode(encoding).endswith(b'"\n')  # unlike UTF-16
    if len(str(separator)) != 1 or not is_plain or load_args.get("quoting") == csv.QUOTE_NONE:
        return
    dialect = {name: load_args[name] for name in _DIALECT if load_args.get(name) is not None}
    quote = str(dialect.get("quotechar", '"')).encode(encoding)
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with fsspec.open(str(path), "rb", compression="infer") as file:
            header = file.readline().decode(encoding, "replace")
            width = len(next(csv.reader([header], delimiter=separator, **dialect), [])) - 1
            for number, lines in _unclosed(file, quote):
                texts = [line.decode(encoding, "replace") for line in lines]
                rows = csv.reader(texts, delimiter=separator, **dialect)
                for line, swallowed in _cells_with_rows(rows, separator, width):
                    raise ProjectError(
                        f"{path} has a quote that is not closed: the cell that begins in line "
                        f"{number + line:,} holds {swallowed:,} more rows. Close the quote there, "
                        "or write two where one is meant."
                    )
    except csv.Error:
        return  # no CSV file, which its reader says
    finally:
        csv.field_size_limit(limit)


def _unclosed(file: Iterable[bytes], quote: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Yield the lines from one with an odd number of quotes to the next, with their number.

    Only these can hold a cell of several lines; most files have few.
    """
    start, lines = 0, list[bytes]()
    for number, line in enumerate(file, 2):
        is_odd = line.count(quote) % 2
        if lines:
            lines.append(line)
            if is_odd or len(lines) >= _MAX_LINES:
                yield start, lines
                lines = []
        elif is_odd:
            start, lines = number, [line]
    if lines:
        yield start, lines


def _cells_with_rows(rows: Any, separator: str, width: int) -> Iterator[tuple[int, int]]:  # noqa: ANN401 - the type of csv.reader is private
    """Yield the line of each cell that holds rows, from 0, and their number."""
    end = 0
    for cells in rows:
        line, end = end, rows.line_num
        for place, cell in enumerate(cells):
            if "\n" in cell:
                if _holds_rows([part.count(separator) for part in cell.split("\n")], place, width):
                    yield line, cell.count("\n")
                line += cell.count("\n")


def _holds_rows(separators: list[int], place: int, width: int) -> bool:
    """Tell rows from text of several lines by the separators in each line.

    Rows have a whole one between the first and the last line, or the rest of the cell's own row and
    as much of the next one as was before the cell.
    """
    first, *between, last = separators
    return width > 1 and (width in between or (first == width - place and last >= place))
