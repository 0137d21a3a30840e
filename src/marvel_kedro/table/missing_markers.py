r"""Markers of missing values that other tools write, such as `NA`, `NULL` and `\N`.

They are compared as written: a character may be called Null. Each engine does it with its own
regular expressions, so the patterns use only what all of them have.
"""

import re
from collections.abc import Collection

import narwhals as nw

WHITESPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))
"""Python's definition of whitespace, spelt out because each engine has its own."""

SETS = ("teams",)  # columns of items with the separator `;`
KEPT = ("name",)  # of free text, where a marker may be a name


def replace(column: str, markers: Collection[str]) -> nw.Expr:
    """Return the text of a column: null where it is a marker, and a set without such items."""
    text = nw.col(column)
    if column in KEPT or not markers:
        return text
    if column in SETS:
        # Twice: a match takes the separator with which the next one would begin.
        removed = text.str.replace_all(_items(markers), ";").str.replace_all(_items(markers), ";")
        cleaned = removed.str.strip_chars(f";{WHITESPACE}")
        text = nw.when(is_marked(column, markers)).then(cleaned).otherwise(text)
    return nw.when(~text.is_in([*markers, ""])).then(text).alias(column)


def is_marked(column: str, markers: Collection[str]) -> nw.Expr:
    """Return whether a cell is a marker or, in a set, has one among its items."""
    text = nw.col(column)
    if column in KEPT or not markers:
        return nw.lit(value=False)
    found = text.str.contains(_items(markers)) if column in SETS else text.is_in([*markers])
    return found.fill_null(value=False)


def _items(markers: Collection[str]) -> str:
    space = f"[{WHITESPACE}]*"
    return f"(?:^|;){space}(?:{'|'.join(map(re.escape, markers))}){space}(?:;|$)"
