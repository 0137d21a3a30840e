"""Drift of a sample of records: weights of its rows, and flips of their labels."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.rounding import rounded
from marvel_kedro.monitoring.names import shown
from marvel_kedro.simulation.world import DriftOptions
from marvel_kedro.table.description import TableSpec

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

TILT = 4.0
"""Log ratio of the weights of a column's last and first row at magnitude 1 of `covariate`."""

SHARE_RISE = 0.32
"""Increase of the share of the rarer class at magnitude 1 of `prior`."""

_TILTED_COLUMNS = 2
_MIN_LEVEL_ROWS = 20  # values with fewer rows are pooled: their class share is chance
_POOLED = "\0rare"


@dataclass(frozen=True)
class RowDrift:
    """Drift of the rows of a sample."""

    weights: Floats  # relative probability that a row is drawn, shape (rows,)
    flipped: Booleans  # whether the label of a row is the other class, shape (rows,)
    description: str


def row_drift(rows: pd.DataFrame, table: TableSpec, drift: DriftOptions, seed: int) -> RowDrift:
    """Compute the drift of a sample of records.

    - `covariate` weights the rows by exponentials of their ranks in the two columns that are most
      closely related to the class, towards the rarer class. Weights depend on the inputs only, so
      the probability of a class given the inputs stays.
    - `prior` weights the rows by class: the share of the rarer one rises.
    - `concept` flips the labels in one part of the inputs: where the most closely related column
      has the values at which the rarer class is rarest. At magnitude 1 as many rows are flipped as
      the rarer class has, so that neither class is lost.

    Raises:
        ProjectError: The rows have one class.
    """
    sample = _Sample(rows, table)
    if drift.size == 0:
        return RowDrift(np.ones(len(rows)), np.zeros(len(rows), dtype=bool), "no drift")
    if not sample.rarer.any():
        raise ProjectError(
            f"Drift needs {table.row.many} of both classes, {' and '.join(table.target.classes)}: "
            f"the {len(rows):,} test rows have one. Raise processing.split.test_share."
        )
    if drift.scenario == "covariate":
        return _covariate(sample, drift.size)
    if drift.scenario == "prior":
        return _prior(sample, drift.size)
    return _concept(sample, drift.size, seed)


@dataclass(frozen=True)
class _Ranked:
    """A column as ranks of the rows, from 0 to 1, which rise with the share of the rarer class."""

    name: str
    ranks: Floats
    relation: float  # ROC AUC of the ranks as a score of that class, less 0.5


@dataclass(frozen=True)
class _Sample:
    rows: pd.DataFrame
    table: TableSpec

    @cached_property
    def rarer(self) -> Booleans:
        """Whether a row has the rarer class; of two equal ones the negative class."""
        positive = (self.rows[self.table.target.column] == self.table.target.positive).to_numpy()
        return positive if 2 * positive.sum() < len(positive) else ~positive

    @cached_property
    def ranked(self) -> list[_Ranked]:
        """The inputs, the one that is most closely related to the class first."""
        found = (self._rank(name) for name in self.table.inputs)
        return sorted(found, key=lambda each: -each.relation)

    def _rank(self, name: str) -> _Ranked:
        values = self.rows[name]
        if not self.table.columns[name].is_number:
            rarer = pd.Series(self.rarer.astype(float), values.index)
            values = rarer.groupby(_levels(values)).transform("mean")
        ranks = np.asarray(values.rank(pct=True).fillna(0.5), dtype=np.float64)
        relation = float(ranks[self.rarer].mean() - ranks[~self.rarer].mean())
        rising = 1 - ranks if relation < 0 else ranks
        return _Ranked(name, rising, abs(relation))

    def describe(self, column: _Ranked, weights: Floats) -> str:
        """Describe what becomes more frequent in a column by weights of the rows."""
        values = self.rows[column.name]
        if self.table.columns[column.name].is_number:
            ranks = values.rank()
            rise = np.average(ranks.fillna(ranks.mean()), weights=weights) - ranks.mean()
            return f"{'high' if rise > 0 else 'low'} {column.name}"
        shares = pd.Series(weights / weights.sum(), values.index).groupby(_levels(values)).sum()
        level = str((shares - _levels(values).value_counts(normalize=True)).idxmax())
        if level in {"", _POOLED}:
            return f"{'rare' if level else 'no'} {column.name}"
        return f"{column.name} {shown(level)}"


def _levels(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    levels = texts.astype("str").fillna("")
    return levels.where(levels.map(levels.value_counts()) >= _MIN_LEVEL_ROWS, _POOLED)


def _covariate(sample: _Sample, size: float) -> RowDrift:
    tilted = sample.ranked[:_TILTED_COLUMNS]
    weights = np.exp(TILT * size * np.sum([each.ranks for each in tilted], axis=0))
    changes = " and ".join(sample.describe(each, weights) for each in tilted)
    text = f"covariate drift: more {sample.table.row.many} with {changes}"
    return RowDrift(weights, np.zeros(len(weights), dtype=bool), text)


def _prior(sample: _Sample, size: float) -> RowDrift:
    rarer, target = sample.rarer, sample.table.target
    share = rarer.mean()
    moved = share + SHARE_RISE * size
    weights = np.where(rarer, moved / share, (1 - moved) / (1 - share))
    shares = [rounded(each, ".0%") for each in (share, moved)]
    is_positive = sample.rows[target.column].to_numpy()[rarer.argmax()] == target.positive
    name = target.positive if is_positive else target.other
    text = f"prior drift: {name} from {shares[0]} to {shares[1]} of the {sample.table.row.many}"
    return RowDrift(weights, np.zeros(len(rarer), dtype=bool), text)


def _concept(sample: _Sample, size: float, seed: int) -> RowDrift:
    rarer, (positive, other) = sample.rarer, sample.table.target.classes
    # The last key of `lexsort` is the first to sort by; chance decides between equal rows.
    ranks = [each.ranks for each in reversed(sample.ranked)]
    order = np.lexsort([np.random.default_rng(seed).random(len(rarer)), *ranks])
    flipped = np.zeros(len(rarer), dtype=bool)
    flipped[order[: round(size * rarer.sum())]] = True
    text = f"{rounded(flipped.mean(), '.0%')} of the {sample.table.row.many}"
    if flipped.any():
        text += f", those with {sample.describe(sample.ranked[0], flipped.astype(float))}"
    text = f"concept drift: {positive} and {other} are exchanged for {text}"
    return RowDrift(np.ones(len(rarer)), flipped, text)
