"""Safe names for columns and tables, from any text."""

import keyword
import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from marvel_kedro.table.description import RESERVED

_MAX_LENGTH = 60
_SQL_WORDS = """
all analyse analyze and anti any array as asc at authorization between both by case cast check
collate column constraint create cross current_catalog current_date current_role current_time
current_timestamp current_user database default deferrable delete desc describe distinct drop
else end escape except exists false fetch filter for foreign from full function glob grant
group having if in index inner insert intersect interval into is join lambda lateral leading
left like limit minus natural not null of offset on only or order outer overlaps partition
pivot primary qualify references returning revoke right rlike row rows select semi
session_user show some summarize symmetric table then to trailing true truncate union unique
unknown unpivot update user using values variadic view when where window with
"""
_SQL = frozenset(_SQL_WORDS.split())
_OTHER_LETTERS = str.maketrans({"ß": "ss", "æ": "ae", "ø": "o", "ð": "d", "þ": "th", "ł": "l"})


def words(text: str) -> list[str]:
    """Split a name into its words in lower-case ASCII: `PageID` and `Page Id` are page and id."""
    text = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3 \2\4", text)
    plain = unicodedata.normalize("NFKD", text.lower().translate(_OTHER_LETTERS))
    ascii_only = plain.encode("ascii", "ignore").decode()
    return re.findall(r"[a-z0-9]+", ascii_only)


def table_name(file: Path) -> str:
    """Make a name for model, experiment and schema from that of the file."""
    name = _safe("_".join(words(file.name.partition(".")[0])), "table")
    return f"{name}_table" if keyword.iskeyword(name) else name


def column_names(sources: Iterable[str]) -> dict[str, str]:
    """Make a unique safe name for each column, by its name in the file.

    Words of SQL and Python, and names that the project adds to tables, get an underscore; a name
    without Latin letters is that of its place.
    """
    found: dict[str, str] = {}
    for place, source in enumerate(sources, start=1):
        name = _safe("_".join(words(source)), f"column_{place}")
        if name in _SQL | RESERVED or keyword.iskeyword(name):
            name += "_"
        found[source] = _unused(name, set(found.values()))
    return found


def _safe(name: str, otherwise: str) -> str:
    name = name[:_MAX_LENGTH].strip("_")
    if not name or not name.strip("0123456789_"):
        return f"{otherwise}_{name}".strip("_") if otherwise == "table" else otherwise
    return name if name[0].isalpha() else f"n{name}"


def _unused(name: str, used: set[str]) -> str:
    if name not in used:
        return name
    number = 2
    while f"{name}_{number}" in used:
        number += 1
    return f"{name}_{number}"
