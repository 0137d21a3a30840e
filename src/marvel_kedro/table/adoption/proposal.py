"""Propose the description of a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from marvel_kedro.core.errors import ProjectError, shortened
from marvel_kedro.core.options import validate
from marvel_kedro.table import cleaning, quality
from marvel_kedro.table.adoption import checks, roles, sample, writing
from marvel_kedro.table.adoption.kinds import Found, find_kind
from marvel_kedro.table.adoption.names import column_names, table_name, words
from marvel_kedro.table.description import REMEDY, TableSpec
from marvel_kedro.table.options import QualityOptions

MADE_KEY = "row_id"
_FEW_REJECTED = 0.05
_MAX_TRIED = 100


@dataclass(frozen=True)
class Choices:
    """What a person decided: options of the command."""

    key: str | None = None
    target: str | None = None
    positive: str | None = None
    drop: tuple[str, ...] = ()
    name: str | None = None
    row: str | None = None
    separator: str | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class ColumnReport:
    """A line of the table that a person checks."""

    name: str
    source: str
    kind: str
    why: str
    distinct: int
    missing: float
    examples: list[str]


@dataclass(frozen=True)
class Proposal:
    """A description, and what a person should know about it.

    Attributes:
        text: The description as YAML.
        spec: The same, validated.
        file: How the file is read, and its size.
        columns: The columns.
        notes: Facts and warnings, each a sentence.
    """

    text: str
    spec: TableSpec
    file: str
    columns: list[ColumnReport]
    notes: list[str]


def propose(file: Path, place: str, choices: Choices) -> Proposal:
    """Read a sample of the file and describe it.

    Args:
        file: The file.
        place: Its name below `data/01_raw`.
        choices: What is decided already.

    Raises:
        ProjectError: The file cannot be adopted; the message names the column and the remedy.
    """
    taken = sample.take(file, choices.separator, choices.encoding)
    names = column_names(taken.cells.columns)
    dropped = {roles.find_column(each, names, "--drop") for each in choices.drop}
    cells = taken.cells.drop(columns=list(dropped))
    counts = {str(column): cells[column].value_counts() for column in cells}
    found = _find_kinds(counts)
    given_key, given_target = (
        None if each is None else roles.find_column(each, names, option)
        for each, option in ((choices.key, "--key"), (choices.target, "--target"))
    )
    if removed := dropped & {given_key, given_target}:
        raise ProjectError(f"--drop {', '.join(map(str, removed))}: it is the key or the target.")
    possible = {column: each for column, each in counts.items() if column != given_target}
    key = roles.find_key(given_key, file, possible if given_key is None else counts, len(cells))
    target = roles.find_target(given_target, choices.positive, counts, key.column)
    assert target.column
    classes, class_why = roles.find_classes(
        target.column, counts[target.column], found[target.column], choices.positive
    )
    found[target.column] = Found("category", f"{target.why}; {class_why}")
    if key.column:
        found[key.column] = Found("id", key.why)
    is_positive = (cells[target.column] == classes["positive"]).where(cells[target.column].notna())
    for column in set(counts) - {key.column, target.column}:
        each = found[column]
        each.notes += checks.column_notes(column, each, cells[column], is_positive)

    table = _describe(choices, place, taken, names, found, key, target.column, classes)
    spec = validate(TableSpec, table, REMEDY)
    if not spec.inputs:
        seen = shortened(", ".join(spec.sources), 200)
        raise ProjectError(
            f"{file} has no column to learn from, beside {seen}: "
            "a feature is needed that is no id and has several values."
        )
    notes = [
        *(f"{column} {note}." for column, each in found.items() for note in each.notes),
        *(f"{note}." for note in [*key.notes, *target.notes]),
        *_row_notes(taken, cells, counts, found, spec, is_positive),
        *_trial(taken, spec),
    ]
    comments = {
        f"columns.{names[column]}": "; ".join([each.why, *each.notes])
        for column, each in found.items()
    } | {"key": key.why, "target": class_why}
    if key.column is None:
        comments[f"columns.{table['key']}"] = key.why
    heading = f"Written by kedro adopt from {file.name}; docs/own-data.md describes every key."
    return Proposal(
        text=writing.to_text(table, comments, heading),
        spec=spec,
        file=_file_line(file, taken),
        columns=[
            ColumnReport(
                names[column],
                column,
                each.kind + ("" if each.options.get("feature", True) else ", no feature"),
                each.why,
                len(counts[column]),
                1 - int(counts[column].sum()) / len(cells),
                [] if checks.is_personal(column) else list(counts[column].index[:2]),
            )
            for column, each in found.items()
        ],
        notes=notes,
    )


def _find_kinds(counts: dict[str, "pd.Series[int]"]) -> dict[str, Found]:
    found = {column: find_kind(column, each) for column, each in counts.items()}
    if any(each.options.get("decimal") == "," for each in found.values()):
        found = {column: find_kind(column, each, comma=True) for column, each in counts.items()}
    return found


def _describe(  # noqa: PLR0913, PLR0917 - all that was found
    choices: Choices,
    place: str,
    taken: sample.Sample,
    names: dict[str, str],
    found: dict[str, Found],
    key: roles.Role,
    target: str,
    classes: dict[str, Any],
) -> dict[str, Any]:
    columns = {
        names[column]: ({"source": column} if column != names[column] else {})
        | {"kind": each.kind}
        | each.options
        for column, each in found.items()
    }
    if key.column:
        key_name = names[key.column]
    else:
        key_name = MADE_KEY if MADE_KEY not in columns else f"{MADE_KEY}_made"
        columns = {key_name: {"kind": "id", "row_hash": True}} | columns
    table: dict[str, Any] = {"name": choices.name or table_name(Path(place)), "file": place}
    if read := taken.read.model_dump(exclude_defaults=True):
        table["read"] = read
    return table | {
        "row": _row_words(choices.row, key.column),
        "key": key_name,
        "target": {"column": names[target], **classes},
        "columns": columns,
    }


def _row_words(given: str | None, key: str | None) -> dict[str, str]:
    """Return the word for a row: as given, or from the key (`customer_id`), else record."""
    one, _, many = (given or "").partition("/")
    parts = words(key or "")
    if not one and len(parts) > 1 and parts[-1] in {"id", "uuid"}:
        one = " ".join(parts[:-1])
    one = one if one and one not in {"row", "unique"} else "record"
    if not many:
        many = f"{one[:-1]}ies" if one.endswith("y") and one[-2:-1] not in "aeiou" else f"{one}s"
    return {"one": one, "many": many}


def _file_line(file: Path, taken: sample.Sample) -> str:
    read = taken.read.model_dump(exclude_defaults=True)
    how = "".join(f", {key} {value!r}" for key, value in read.items())
    part = "" if taken.is_whole else f" (the sample has {len(taken.raw):,} of them, evenly spread)"
    return f"{file}: {taken.rows:,} rows{part}, {len(taken.cells.columns):,} columns{how}"


def _row_notes(  # noqa: PLR0913, PLR0917 - all that was found
    taken: sample.Sample,
    cells: pd.DataFrame,
    counts: dict[str, "pd.Series[int]"],
    found: dict[str, Found],
    spec: TableSpec,
    is_positive: "pd.Series[bool]",
) -> Iterator[str]:
    key, target = spec.source(spec.key), spec.source(spec.target.column)
    rows = "rows" if taken.is_whole else "rows of the sample"
    if note := checks.class_note(is_positive, spec.target.classes):
        yield f"{target}: {note}."
    if empty := int(cells[target].isna().sum()):
        yield f"{target} is empty in {empty:,} {rows}: processing rejects them."
    if repeated := int(cells.duplicated().sum()):
        yield (
            f"{repeated:,} {rows} repeat another one. Their made keys are numbered, and all are "
            "kept: remove those that are copies by mistake."
        )
    for column, each in counts.items():
        is_unique = len(each) == len(cells) == int(each.sum())
        if column not in (key, target) and is_unique and found[column].kind in ("id", "category"):
            yield f"{column} is unique, too: a second key, which is no feature."
            break
    rest = {column: each for column, each in counts.items() if column not in (key, target)}
    for column in checks.groups(rest, found, len(cells))[:1]:
        yield (
            f"{column} repeats: if rows with the same one belong together, write group: "
            f"{spec.sources[column]}."
        )
    if taken.unnamed:
        yield "A column without a name is left out."


def _trial(taken: sample.Sample, spec: TableSpec) -> Iterator[str]:
    """Clean the sample as processing will, and report the rows that it rejects.

    They depend on key and target; of wide tables only some of the other columns are cleaned.
    """
    roles_first = [spec.key, spec.target.column, *spec.columns][:_MAX_TRIED]
    tried = {name: spec.columns[name] for name in spec.columns if name in roles_first}
    spec = spec.model_copy(update={"columns": tried})
    rows = cleaning.read_source(taken.raw[list(spec.sources)], spec)
    summary = quality.summarise(rows, spec, QualityOptions())
    quality.require_usable_rows(summary, spec)
    rejected, total = summary["rows_rejected"], summary["rows_in"]
    if rejected > total * _FEW_REJECTED:
        reasons = ", ".join(f"{reason}: {count:,}" for reason, count in summary["rejected"].items())
        yield f"Processing will reject {rejected / total:.0%} of the rows ({reasons})."
