"""Find rows of a CSV file that an unclosed quote has made part of a cell.

Every reader takes the text up to the next quote for one cell, and says nothing.
"""

import csv
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import fsspec

from marvel_kedro.core.errors import ProjectError

_LINE_END = re.compile(r"\r\n|\r|\n")
_MAX_LINES = 100_000  # that are parsed together
_FIRST_LINES = 1000  # from which the number of columns is known
_DIALECT = ("quotechar", "escapechar", "doublequote")


def check(path: Path, load_args: dict[str, Any]) -> None:
    """Raise a `ProjectError` for the first cell that holds other rows, with its line.

    A file without quotes, or whose separator `csv` cannot read, is not checked.
    """
    separator = str(load_args.get("sep") or load_args.get("delimiter") or ",")
    if len(separator) != 1 or load_args.get("quoting") == csv.QUOTE_NONE:
        return
    dialect = {name: load_args[name] for name in _DIALECT if load_args.get(name) is not None}
    as_text = {
        "encoding": load_args.get("encoding") or "utf-8",
        "errors": "replace",
        "newline": "",  # line ends stay as they are, those of a carriage return alone too
    }
    limit = csv.field_size_limit(sys.maxsize)
    try:
        with fsspec.open(str(path), "rt", compression="infer", **as_text) as file:
            quote = str(dialect.get("quotechar", '"'))
            first = list(islice(file, _FIRST_LINES))
            width = _separators(
                csv.reader(
                    (line for line in first if line.count(quote) % 2 == 0),
                    delimiter=separator,
                    **dialect,
                )
            )
            for number, lines in _unclosed(chain(first, file), quote):
                rows = csv.reader(lines, delimiter=separator, **dialect)
                for line, swallowed in _cells_with_rows(rows, separator, width):
                    raise ProjectError(
                        f"{path} has a quote that is not closed: the cell that begins in line "
                        f"{number + line:,} holds {swallowed:,} more rows. Close the quote there, "
                        "or write two where one is meant."
                    )
    except (csv.Error, LookupError, UnicodeError):
        return  # no CSV file, or no encoding, which its reader says
    finally:
        csv.field_size_limit(limit)


def _separators(rows: Iterable[list[str]]) -> int:
    """Return the separators of most rows: comments and titles may stand above the header."""
    counts = Counter(len(cells) - 1 for cells in rows if cells)
    return max(counts, key=lambda number: (counts[number], number), default=0)


def _unclosed(file: Iterable[str], quote: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines from one with an odd number of quotes to the next, with their number.

    Only these can hold a cell of several lines; most files have few.
    """
    start, lines = 0, list[str]()
    for number, line in enumerate(file, 1):
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
            within = _LINE_END.split(cell)
            if len(within) > 1:
                if _holds_rows([part.count(separator) for part in within], place, width):
                    yield line, len(within) - 1
                line += len(within) - 1


def _holds_rows(separators: list[int], place: int, width: int) -> bool:
    """Tell rows from text of several lines by the separators in each line.

    Rows have a whole one between the first and the last line, or the rest of the cell's own row and
    as much of the next one as was before the cell.
    """
    first, *between, last = separators
    return width > 1 and (width in between or (first == width - place and last >= place))
