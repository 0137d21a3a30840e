r"""Markers of missing values that other tools write, such as `NA`, `NULL` and `\N`.

They are compared as written: a character may be called Null. Each engine does it with its own
regular expressions, so the patterns use only what all of them have.
"""

import re
from collections.abc import Collection

import narwhals as nw

from marvel_kedro.table.description import Column

WHITESPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
"""Python's definition of whitespace, spelt out because each engine has its own."""


def replace(name: str, column: Column, markers: Collection[str]) -> nw.Expr:
    """Return the text of a column: null where it is a marker, and a set without such items.

    Text without a feature may be a name, and stays as it is.
    """
    text = nw.col(name)
    if _is_kept(column, markers):
        return text
    if column.kind == "set":
        items, separator = _items(column.separator, markers), column.separator
        # Twice: a match takes the separator with which the next one would begin.
        removed = text.str.replace_all(items, separator).str.replace_all(items, separator)
        cleaned = removed.str.strip_chars(f"{separator}{WHITESPACE}")
        text = nw.when(is_marked(name, column, markers)).then(cleaned).otherwise(text)
    return nw.when(~text.is_in([*markers, ""])).then(text).alias(name)


def is_marked(name: str, column: Column, markers: Collection[str]) -> nw.Expr:
    """Return whether a cell is a marker or, in a set, has one among its items."""
    text = nw.col(name)
    if _is_kept(column, markers):
        return nw.lit(value=False)
    if column.kind == "set":
        found = text.str.contains(_items(column.separator, markers))
    else:
        found = text.is_in([*markers])
    return found.fill_null(value=False)


def _is_kept(column: Column, markers: Collection[str]) -> bool:
    return not markers or (column.kind == "text" and not column.feature)


def _items(separator: str, markers: Collection[str]) -> str:
    space, between = f"[{WHITESPACE}]*", re.escape(separator)
    return f"(?:^|{between}){space}(?:{'|'.join(map(re.escape, markers))}){space}(?:{between}|$)"
