"""Find out what the values of a column are: a number, a date, a category, .."""

import re
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from marvel_kedro.core.errors import shortened
from marvel_kedro.model.portable.fields import FALSE_WORDS, PLAIN_NUMBER, TRUE_WORDS
from marvel_kedro.table.adoption.names import words
from marvel_kedro.table.description import Kind

if TYPE_CHECKING:
    import pandas as pd

MOST = 0.95
"""The share of values that decides; the others count as missing."""

_GROUP = r"[ '\u00a0\u2019\u202f{}]"
_NOTATION = (
    r"[-+]?(?:[0-9]{{1,15}}(?:{mark}[0-9]*)?|{mark}[0-9]+"
    r"|[0-9]{{1,3}}(?:{group}[0-9]{{3}})+(?:{mark}[0-9]*)?)(?:[eE][-+]?[0-9]{{1,3}})?"
)
_PLAIN = re.compile(PLAIN_NUMBER)
_POINT = re.compile(_NOTATION.format(mark=r"\.", group=_GROUP.format(",")))
_COMMA = re.compile(_NOTATION.format(mark=",", group=_GROUP.format(".")))
_GROUPED_BY_COMMA = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+")
_GROUPED_BY_POINT = re.compile(r"[-+]?[0-9]{1,3}(?:\.[0-9]{3})+")
_ISO = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]{4,15} ?(?:Z|[-+][0-9:]{2,6})?)?")
_LIKE_A_DATE = re.compile(
    "[0-9]{1,4}[-/. ,]+(?:[0-9]{1,2}|[A-Za-z]{3,9})[-/. ,]+[0-9]{1,4}|^[A-Za-z]{3,9} [0-9]"
)
_DATES = (
    *("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%m-%d-%Y", "%Y.%m.%d"),
    *("%d.%m.%y", "%d/%m/%y", "%m/%d/%y", "%d-%b-%Y", "%d %b %Y", "%d %B %Y"),
    *("%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d-%b-%y", "%Y-%b-%d"),
)
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", "T%H:%M:%S")
_FIRST_DATES = 20
_TRIED_DATES = 300
_MAX_DIGITS = 15  # of PLAIN_NUMBER
_MAX_LEVELS = 50  # with more, a value has to repeat to be a category
_CODES = {"zip", "zipcode", "postal", "postcode", "plz", "phone", "telephone", "mobile", "iban"}
_CODES |= {"ssn", "isbn", "ean", "barcode", "sku"}
_IDS = {"id", "ids", "uuid", "guid", "key", "nr", "no", "num", "number", "code", "ref", "reference"}


@dataclass
class Found:
    """What a column is, why, and what a person should know.

    Attributes:
        kind: Its kind.
        why: The reason, in a few words.
        options: Other keys of its description.
        notes: Warnings.
    """

    kind: Kind
    why: str
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def find_kind(source: str, counts: "pd.Series[int]", *, comma: bool = False) -> Found:
    """Find the kind of a column.

    Args:
        source: Its name in the file.
        counts: Rows by value, without missing ones, the most frequent first.
        comma: Whether other columns of the file have decimal commas.
    """
    if not len(counts):
        options = {"feature": False, "required": False}
        return Found("text", "has no value", options, ["has no value in any row"])
    name = words(source)
    found = (
        _boolean(counts)
        or _date(name, counts)
        or _code(name, counts)
        or _number(counts, comma=comma)
        or _set(counts)
        or _text(name, counts)
    )
    if len(counts) == 1:
        found.options["feature"] = False
        found.notes.append(f"has the one value {example(counts.index[0])}")
    return found


def example(value: str, length: int = 20) -> str:
    """Return a value as a short example."""
    return repr(shortened(value, length))


def _matching(counts: "pd.Series[int]", pattern: re.Pattern[str]) -> "pd.Series[int]":
    return counts[[bool(pattern.fullmatch(value)) for value in counts.index.tolist()]]


def _boolean(counts: "pd.Series[int]") -> Found | None:
    found = {value.lower() for value in counts.index}
    digits = {"0", "1"}  # are numbers
    if len(found) == 2 and found & TRUE_WORDS - digits and found & FALSE_WORDS - digits:  # noqa: PLR2004
        return Found("boolean", f"{' and '.join(map(str, counts.index[:2]))}")
    return None


def _code(name: list[str], counts: "pd.Series[int]") -> Found | None:
    values = counts.index.tolist()
    if not all(value.isascii() and value.isdigit() for value in values):
        return None
    reasons = {
        "digits with leading zeros, which a number would lose": any(
            value[0] == "0" and len(value) > 1 for value in values
        ),
        "more digits than a number keeps": max(map(len, values)) > _MAX_DIGITS,
        "a code by its name": bool(_CODES & set(name)),
        "numbers the rows": _is_running_number(values, counts),
        "an id by its name": _has_id_name(name) and (_distinct(counts) > 0.5 or name[-1] == "id"),  # noqa: PLR2004
    }
    why = next((reason for reason, holds in reasons.items() if holds), None)
    if why is None:
        return None
    if _distinct(counts) > MOST and len(counts) > _MAX_LEVELS:
        return Found("id", f"{why}; nearly every value occurs once", {"feature": False})
    return Found("category", why)


def _is_running_number(values: list[str], counts: "pd.Series[int]") -> bool:
    """Tell 0, 1, 2, .. or 1, 2, .., each of one row, also in an evenly spread sample."""
    if len(values) <= _MAX_LEVELS or int(counts.max()) > 1 or max(map(len, values)) > _MAX_DIGITS:
        return False
    numbers = sorted(map(int, values))
    return numbers[0] <= 1 and len({later - number for number, later in pairwise(numbers)}) == 1


def _has_id_name(name: list[str]) -> bool:
    return bool(name) and (name[-1] in _IDS or name[0] == "id" or name[-1].endswith("uuid"))


def _distinct(counts: "pd.Series[int]") -> float:
    return len(counts) / int(counts.sum())


def _number(counts: "pd.Series[int]", *, comma: bool) -> Found | None:
    total = int(counts.sum())
    mark, fitting = _notation(counts, comma=comma)
    rest = counts.drop(fitting.index)
    others = int(rest.sum())
    if others > total * (1 - MOST):
        if others < total / 2:
            note = f"mixes numbers with other values ({_examples(rest)}, {others / total:.0%})"
            return _text([], counts, [note])
        return None
    written = {None: "", ".": ", with thousands marks among them", ",": " with decimal commas"}
    why = f"{_all(total - others, total)} numbers{written[mark]}"
    found = Found("number", why, {"decimal": mark} if mark else {})
    if mark == "," and not any("," in value for value in fitting.index):
        found.notes.append(
            f"is read with points between thousands ({fitting.index[0]}), as other columns have "
            "decimal commas; for decimal points remove `decimal`"
        )
    if others:
        found.notes.append(
            f"has {others:,} values that are no numbers ({_examples(rest)}): missing"
        )
    return found


def _notation(
    counts: "pd.Series[int]", *, comma: bool
) -> tuple[Literal[".", ","] | None, "pd.Series[int]"]:
    """Return the decimal mark with which most values are numbers, None for plain ones; and those.

    `1,234` alone has a thousands mark, unless other columns have decimal commas; `1.234` is plain
    unless they have.
    """
    plain = _matching(counts, _PLAIN)
    pointed = [value for value in counts.index if "." in value] if comma else []
    is_grouped = pointed and all(map(_GROUPED_BY_POINT.fullmatch, pointed))
    if len(plain) == len(counts) and not is_grouped:
        return None, plain
    point, commas = _matching(counts, _POINT), _matching(counts, _COMMA)
    marked = [value for value in commas.index if "," in value]
    only_grouped = not comma and all(map(_GROUPED_BY_COMMA.fullmatch, marked))
    ordered: list[tuple[Literal[".", ","] | None, pd.Series[int]]]
    ordered = [(None, plain), (".", point), (",", commas)]
    if not only_grouped:
        ordered = [ordered[each] for each in ((2, 0, 1) if is_grouped else (0, 2, 1))]
    return max(ordered, key=lambda each: int(each[1].sum()))  # the first of those that are equal


def _all(fitting: int, total: int) -> str:
    return "all are" if fitting == total else f"{fitting / total:.1%} are"


def _examples(counts: "pd.Series[int]") -> str:
    return ", ".join(map(example, counts.index[:3]))


def _date(name: list[str], counts: "pd.Series[int]") -> Found | None:
    """Find the format that reads most values; day before month where both fit."""
    tried = counts.head(_TRIED_DATES)
    total = int(tried.sum())
    formats = _likely_formats(name, tried)
    fits = {each: fit for each in formats if len(fit := _read(tried, each))}
    if not fits:
        return None
    best = max(fits, key=lambda each: int(fits[each].sum()))
    fitting = int(fits[best].sum())
    if fitting < total * MOST:
        read = {value for fit in fits.values() for value in fit.index}
        if int(tried[list(read)].sum()) < total * MOST:
            return None
        used = ", ".join(each or "ISO 8601" for each in list(fits)[:3])
        return _text(
            [],
            counts,
            [f"has dates in several formats ({used}): write them in one, or it is no date"],
        )
    if any(_is_far_ahead(value, best) for value in fits[best].index):
        note = (
            f"has dates in the future as {best}, which has no century: write it, or it is no date"
        )
        return _text([], counts, [note])
    options: dict[str, Any] = {"format": best} if best else {}
    found = Found("date", f"{_all(fitting, total)} dates as {best or 'ISO 8601'}", options)
    if equal := [each for each, fit in fits.items() if each != best and fit.sum() == fitting]:
        found.notes.append(f"is read as {best}; {equal[0]} fits as well: see `format`")
    if fitting < total:
        rest = _examples(tried.drop(fits[best].index))
        found.notes.append(f"has values that are no dates ({rest}): missing")
    return found


def _likely_formats(name: list[str], counts: "pd.Series[int]") -> list[str | None]:
    """Return the formats that read any of the first values."""
    first = counts.head(_FIRST_DATES)
    value = str(first.index[0])
    if value.isdigit():
        is_named = {"date", "day", "time", "timestamp", "datetime", "dt"} & set(name)
        return ["%Y%m%d"] if is_named and len(value) == len("20240131") else []
    if not any(_LIKE_A_DATE.search(value) for value in first.index):
        return []
    formats = [None, *(date + time for date in _DATES for time in _TIMES)]
    return [each for each in formats if len(_read(first, each))]


def _read(counts: "pd.Series[int]", form: str | None) -> "pd.Series[int]":
    return counts[[_parse(value, form) is not None for value in counts.index]]


def _parse(value: str, form: str | None) -> datetime | None:
    try:
        if form is None:
            return datetime.fromisoformat(value) if _ISO.fullmatch(value) else None
        return datetime.strptime(value, form)  # noqa: DTZ007 - as written
    except ValueError:
        return None


def _is_far_ahead(value: str, form: str | None) -> bool:
    date = _parse(value, form)
    late = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=3660)
    return bool(form and "%y" in form and date and date.replace(tzinfo=None) > late)


def _set(counts: "pd.Series[int]") -> Found | None:
    """Find items that repeat in cells with different numbers of items."""
    rows_by_value = {str(value): int(rows) for value, rows in counts.items()}
    for separator in (";", "|", ","):
        cells = {
            value: {item.strip() for item in value.split(separator) if item.strip()}
            for value in rows_by_value
            if separator in value
        }
        several = sum(rows_by_value[value] for value in cells)
        if several < sum(rows_by_value.values()) * 0.1:
            continue
        sizes = {value.count(separator) for value in rows_by_value}
        rows = Counter[str]()
        for value, repeats in rows_by_value.items():
            for item in cells.get(value, {value}):
                rows[item] += repeats
        words_of_items = sum(len(item.split()) * count for item, count in rows.items())
        repeating = len(rows) < rows.total() / 4 and len(rows) < 2 * len(rows_by_value)
        if len(sizes) > 1 and repeating and words_of_items < 4 * rows.total():
            return Found("set", f"items separated by {separator!r}", {"separator": separator})
    return None


def _text(name: list[str], counts: "pd.Series[int]", notes: list[str] | None = None) -> Found:
    """Tell categories, which repeat, from text and ids, which do not."""
    notes = list(notes or [])
    distinct = _distinct(counts)
    lengths = sum(len(str(value).split()) * int(count) for value, count in counts.items())
    mean_words = lengths / int(counts.sum())
    if len(counts) <= _MAX_LEVELS or (distinct <= 0.5 and mean_words <= 4):  # noqa: PLR2004
        return Found("category", f"{len(counts):,} values that repeat", {}, notes)
    if distinct > MOST and mean_words < 1.5 and (_has_id_name(name) or _are_codes(counts)):  # noqa: PLR2004
        return Found("id", "codes, nearly every one occurs once", {"feature": False}, notes)
    in_rows = Counter[str]()
    for value, count in counts.items():
        for word in set(re.findall(r"[^\W\d_]{2,}", str(value).lower())):
            in_rows[word] += int(count)
    most = max(in_rows.values(), default=0)
    if most < max(5, int(counts.sum()) / 100):
        return Found("text", "nearly every value occurs once", {"feature": False}, notes)
    return Found("text", "texts whose words repeat", {}, notes)


def _are_codes(counts: "pd.Series[int]") -> bool:
    return all(re.search("[0-9]", str(value)) for value in counts.index[:100])
