"""Warn of columns and rows that a person should look at before a model learns from them."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from marvel_kedro.table.adoption.kinds import Found
from marvel_kedro.table.adoption.names import words

_PERSONAL = {
    *("email", "mail", "phone", "telephone", "mobile", "surname", "lastname", "firstname"),
    *("forename", "fullname", "address", "street", "ssn", "passport", "iban", "birthday"),
    *("birthdate", "dob", "username", "ip"),
}
_PERSONAL_PAIRS = {("first", "name"), ("last", "name"), ("full", "name"), ("birth", "date")}
_PERSONAL_PAIRS |= {("date", "birth"), ("social", "security"), ("e", "mail"), ("user", "name")}
_LEAKAGE = 0.99
_NEARLY_EMPTY = 0.95
_RARE = 0.01
_GROUP = (0.02, 0.9)  # of the rows: the share of distinct values of a group
_MIN_ROWS = 20


def is_personal(column: str) -> bool:
    """Tell by a column's name whether it seems to hold data of persons."""
    name = [word for word in words(column) if word != "of"]
    pairs = set(pairwise(name))
    return bool(name == ["name"] or _PERSONAL & set(name) or _PERSONAL_PAIRS & pairs)


def column_notes(
    column: str, found: Found, cells: "pd.Series[str]", is_positive: "pd.Series[bool]"
) -> Iterator[str]:
    """Yield the warnings about a column that is no key and no target."""
    missing = float(cells.isna().mean())
    if _NEARLY_EMPTY < missing < 1:
        yield f"is empty in {missing:.1%} of the rows"
    auc = separation(cells, found, is_positive)
    if auc > _LEAKAGE:
        yield (
            f"alone separates the classes (ROC AUC {auc:.3f}): is it known before the outcome? "
            "Otherwise --drop it"
        )
    if is_personal(column):
        yield "seems to be personal data by its name: --drop it, unless it may be used"


def separation(cells: "pd.Series[str]", found: Found, is_positive: "pd.Series[bool]") -> float:
    """Return the ROC AUC of a column alone, 0.5 or more.

    A number is the score itself. Of other kinds it is the share of the positive class by value
    among the other half of the rows.
    """
    known = is_positive.notna().to_numpy()
    labels = is_positive[known].astype(bool).to_numpy()
    values = cells[known]
    if len(labels) < _MIN_ROWS or labels.all() or not labels.any():
        return 0.5
    if found.kind == "number":
        numbers = as_numbers(values, found).to_numpy(np.float64)
        sides = [np.where(np.isnan(numbers), side, numbers) for side in (-np.inf, np.inf)]
        return max(abs(_auc(scores, labels) - 0.5) + 0.5 for scores in sides)
    texts = values.fillna("").to_numpy()
    first = np.random.default_rng(0).random(len(labels)) < 0.5  # noqa: PLR2004
    scores = np.full(len(labels), labels.mean())
    for learnt in (first, ~first):
        rates = pd.Series(labels[learnt].astype(float)).groupby(texts[learnt]).mean()
        scores[~learnt] = pd.Series(texts[~learnt]).map(rates).fillna(labels.mean())
    return _auc(scores, labels)


def as_numbers(values: "pd.Series[str]", found: Found) -> "pd.Series[float]":
    """Parse texts as cleaning does, but for the check of their form."""
    mark = found.options.get("decimal", ".")
    other = "," if mark == "." else r"\."
    plain = values.str.replace(f"[ '\u00a0\u2019\u202f{other}]", "", regex=True)
    plain = plain.str.replace(mark, ".", regex=False)
    return pd.to_numeric(plain, errors="coerce")


def _auc(scores: Any, labels: Any) -> float:  # noqa: ANN401 - arrays
    positives = int(labels.sum())
    ranks = rankdata(scores)[labels].sum()
    below = ranks - positives * (positives + 1) / 2
    return float(below / (positives * (len(labels) - positives)))


def class_note(is_positive: "pd.Series[bool]", classes: tuple[str, str]) -> str | None:
    """Return a warning if a class has fewer than 1 % of the rows."""
    share = float(is_positive.dropna().astype(bool).mean())
    for name, part in zip(classes, (share, 1 - share), strict=True):
        if part < _RARE:
            return f"the class {name} has {part:.2%} of the rows: a model learns little of it"
    return None


def groups(
    counts: Mapping[str, "pd.Series[int]"], found: Mapping[str, Found], rows: int
) -> list[str]:
    """Return the columns that seem to name what several rows are about."""
    low, high = _GROUP
    return [
        column
        for column, each in counts.items()
        if found[column].kind in ("id", "text", "category")
        and (words(column)[-1:] in (["id"], ["name"]) or is_personal(column))
        and low < len(each) / rows < high
    ]
