"""Slices of a table, by which models are measured: a column, or a condition `column = 'value'`."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

_CONDITION = re.compile(r"\s*(\w+)\s*=\s*'((?:[^']|'')*)'\s*")
_OTHER_CHARACTERS = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class Slice:
    """A slice: the values of a column, or whether it has one value."""

    column: str
    value: str | None = None


def parse(text: str) -> Slice:
    """Read a slice of `table.yml`; what is no condition is the name of a column."""
    if found := _CONDITION.fullmatch(text):
        return Slice(found[1], found[2].replace("''", "'"))
    return Slice(text.strip())


def by_name(texts: Iterable[str], taken: Collection[str]) -> dict[str, Slice]:
    """Name slices so that each name is a column of its own, apart from those that are taken.

    `plan = 'Top-2'` becomes `plan_top_2`; a name that is taken gets a number.
    """
    slices = [parse(text) for text in texts]
    names = {each: each.column for each in slices if each.value is None}  # the plain ones first
    for each in slices:
        if each.value is None:
            continue
        stem = name = _OTHER_CHARACTERS.sub("_", f"{each.column} {each.value}".lower()).strip("_")
        number = 2
        while name in {*names.values(), *taken}:
            name, number = f"{stem}_{number}", number + 1
        names[each] = name
    return {names[each]: each for each in slices}
