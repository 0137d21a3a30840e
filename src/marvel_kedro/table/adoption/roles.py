"""Find the key, the target and its positive class."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marvel_kedro.core.errors import ProjectError, shortened
from marvel_kedro.table.adoption.kinds import Found, example
from marvel_kedro.table.adoption.names import words

if TYPE_CHECKING:
    import pandas as pd

_KEYS = {"id", "key", "uuid", "guid", "pk", "rowid", "index"}
_KEY_ENDS = {"id", "key", "uuid", "guid", "nr", "no", "num", "number", "code"}
_TARGETS = {
    *("target", "label", "class", "y", "outcome", "response", "result", "status", "risk"),
    *("churn", "churned", "attrition", "exited", "left", "retained", "cancelled", "canceled"),
    *("survived", "alive", "died", "death", "deceased", "dead", "diagnosis", "disease", "stroke"),
    *("default", "defaulted", "delinquent", "fraud", "isfraud", "spam", "approved", "approval"),
    *("converted", "conversion", "clicked", "click", "purchased", "bought", "subscribed"),
    *("deposit", "income", "returned", "readmitted", "satisfied", "satisfaction", "won"),
}
_ONLY_ALONE = {"y", "left", "status", "result", "income", "deposit", "death", "click", "won"}
_NEVER = {"sex", "gender"}
_YES = {"yes": "no", "y": "n", "true": "false", "t": "f", "on": "off", "1": "0", "1.0": "0.0"}
_YES |= {"positive": "negative", "pos": "neg", "bad": "good", "ja": "nein", "oui": "non"}
_MAX_CLASSES = 20
_MAX_NUMBERS = 10  # a number with more values is a measurement, no class
_TWO = 2


@dataclass
class Role:
    """A chosen column: the key or the target.

    Attributes:
        column: Its name in the file; None for a key that is made from the row.
        why: The reason.
        notes: Warnings.
    """

    column: str | None
    why: str
    notes: list[str] = field(default_factory=list)


def find_column(given: str, names: Mapping[str, str], option: str) -> str:
    """Return a column's name in the file; options take that name or the one in the table.

    Raises:
        ProjectError: There is no such column.
    """
    if given in names:
        return given
    for source, name in names.items():
        if given == name:
            return source
    raise ProjectError(
        f"{option} {given}: the file has no such column; it has {shortened(', '.join(names), 300)}."
    )


def find_key(
    given: str | None, file: Path, counts: Mapping[str, "pd.Series[int]"], rows: int
) -> Role:
    """Choose the unique column whose name is that of an id, else the row's hash.

    Raises:
        ProjectError: The given column is not unique or has empty cells.
    """
    if given is not None:
        empty, repeated = rows - int(counts[given].sum()), counts[given][counts[given] > 1]
        if empty or len(repeated):
            found = f"is empty in {empty:,} rows" if empty else ""
            if len(repeated):
                found += f"{' and ' * bool(empty)}has {len(repeated):,} values in several rows "
                found += f"({', '.join(map(example, repeated.index[:3]))})"
            raise ProjectError(
                f"--key {given}: the column {found}. Name another one, correct the file, or leave "
                "--key out: a key is then made from each row."
            )
        return Role(given, "the key, as --key says")
    stem = words(file.name.partition(".")[0])
    ranked = [
        (rank, column) for column in counts if (rank := _key_rank(words(column), stem)) is not None
    ]
    notes = []
    for _, column in sorted(ranked, key=lambda each: each[0]):
        filled = int(counts[column].sum())
        if filled == len(counts[column]) == rows:
            return Role(column, "the key: unique, and an id by its name")
        if len(counts[column]) > rows / 10:
            what = "has empty cells" if filled < rows else "repeats"
            notes.append(f"{column} has the name of an id and is no key: it {what}")
    return Role(None, "the key: made from the row, as no column is a unique id by its name", notes)


def _key_rank(name: list[str], stem: list[str]) -> int | None:
    if not name:
        return None
    if len(name) == 1 and name[0] in _KEYS:
        return 0
    of_file = {word.rstrip("s") for word in stem}
    if name[-1] in _KEY_ENDS and of_file & {word.rstrip("s") for word in name[:-1]}:
        return 1
    if name[-1] in {"id", "uuid", "guid"} or name[0] == "id":
        return 2
    if name[-1] in _KEY_ENDS or name[-1].endswith("id"):
        return 3
    return None


def find_target(
    given: str | None, positive: str | None, counts: Mapping[str, "pd.Series[int]"], key: str | None
) -> Role:
    """Choose the column to predict: by its usual name, or as the only one with two values.

    Raises:
        ProjectError: No column is likely, or several are; it lists them.
    """
    if given is not None:
        if given == key:
            raise ProjectError(f"--target {given}: it is the key. Name another one with --key.")
        return Role(given, "the target, as --target says")
    few = [
        column
        for column, each in counts.items()
        if column != key
        and len(each) <= _MAX_CLASSES
        and (positive is None or positive in each.index)
        and not _NEVER & set(words(column))
    ]
    two = [column for column in few if len(counts[column]) == _TWO]
    usual = [column for column in few if _is_target_name(words(column))]
    fitting = [column for column in usual if column in two]
    if len(fitting) == 1:
        return Role(fitting[0], "the target: a usual name and two values")
    if not fitting and len(two) == 1 and set(usual) <= set(two):
        return Role(two[0], "the target: alone has two values")
    if not two and len(usual or few) == 1 and (usual or positive):
        return Role((usual or few)[0], "the target: by its name or by --positive")
    likely = fitting or [*two, *(column for column in usual if column not in two)] or few
    seen = [f"{column} ({_few(counts[column])})" for column in likely[:10]]
    found = f"Likely are {'; '.join(seen)}." if seen else "No column has few values."
    raise ProjectError(
        f"Which column should be predicted? {found} Name one: --target COLUMN, and with more than "
        "two values the class that counts: --positive VALUE."
    )


def _few(counts: "pd.Series[int]") -> str:
    return ", ".join(map(example, counts.index[:3])) + ", .." * (len(counts) > 3)  # noqa: PLR2004


def _is_target_name(name: list[str]) -> bool:
    """Tell a usual name of a target, also with another word: `is_fraud`, `loan_default`."""
    ends = {*name[:1], *name[-1:]} - _ONLY_ALONE
    if name[:1] in (["is"], ["has"]):
        ends |= set(name[1:2])
    return "_".join(name) in _TARGETS or bool(ends & _TARGETS)


def find_classes(
    column: str, counts: "pd.Series[int]", found: Found, positive: str | None
) -> tuple[dict[str, Any], str]:
    """Return the classes for the description of the target, and why they are these.

    Of two values the positive class is the one that people read so (yes, true, 1), else the rarer
    one, which is what models are usually built to find.

    Raises:
        ProjectError: The column has one class, several and none is named, or is a measurement.
    """
    values = list(counts.index)
    if positive is not None and positive not in values:
        raise ProjectError(
            f"--positive {positive}: {column} has no such value; it has "
            f"{', '.join(map(example, values[:10]))}."
        )
    if len(values) < _TWO:
        has = f"the one class {example(values[0])}" if values else "no value"
        raise ProjectError(
            f"The target {column} has {has}: a model needs rows of two classes. Name another "
            "column with --target, or bring a file with both."
        )
    if len(values) > _TWO and positive is None:
        if found.kind == "number" and len(values) > _MAX_NUMBERS:
            raise ProjectError(
                f"The target {column} is a number with {len(values):,} values, and regression is "
                "not supported. Add a column with two classes to the file, such as above or below "
                "a limit, and name it with --target."
            )
        raise ProjectError(
            f"The target {column} has {len(values):,} classes "
            f"({', '.join(map(example, values[:5]))}{', ..' if len(values) > 5 else ''}); "  # noqa: PLR2004
            "two are supported. Name one class to predict against all others: --positive VALUE."
        )
    if len(values) > _TWO:
        return {"positive": positive}, f"{positive} against all others, as --positive says"
    if positive is not None:
        why = "as --positive says"
    elif yes := [
        value for value in values for other in values if _YES.get(value.lower()) == other.lower()
    ]:
        positive, why = yes[0], "as people read it"
    else:
        positive = min(values, key=lambda value: (counts[value], value))
        why = "the rarer one"
    negative = next(value for value in values if value != positive)
    return {"positive": positive, "negative": negative}, f"positive is {positive}, {why}"
