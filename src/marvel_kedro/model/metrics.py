"""Metrics of a binary classifier as arithmetic on counts.

Rows with the same score and the same label are one cell, and a metric is a function of the counts
of the cells. A bootstrap resample of the rows is then one multinomial draw over the cells, which
is the same distribution as drawing rows with replacement, and every metric is computed for
many resamples at once. Labels are true for Alive; a score is the probability of Alive.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

# scikit-learn clips at the machine's epsilon as well.
_EPSILON = float(np.finfo(np.float64).eps)
_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Cells:
    """Distinct (score, label) pairs in ascending order of the score, and how many rows each has.

    Attributes:
        score: Shape (cells,).
        alive: Shape (cells,).
        rows: Shape (cells,).
    """

    score: Floats
    alive: Flags
    rows: npt.NDArray[np.int64]

    @classmethod
    def of(cls, alive: Flags, score: Floats) -> "Cells":
        """Group rows to cells."""
        return cls.with_members(alive, score)[0]

    @classmethod
    def with_members(cls, alive: Flags, score: Floats) -> "tuple[Cells, npt.NDArray[np.int64]]":
        """Group rows to cells, and say which cell each row is in."""
        pairs, member, rows = np.unique(
            np.column_stack([score, alive.astype(np.float64)]),
            axis=0,
            return_inverse=True,
            return_counts=True,
        )
        return cls(pairs[:, 0], pairs[:, 1] > 0, rows.astype(np.int64)), member.reshape(-1)

    def on_grid(self, steps: int) -> "Cells":
        """Group scores to the centres of equal steps from 0 to 1, if that makes the cells fewer.

        Resampling tens of thousands of cells would take most of a run, and neighbouring scores
        add nothing to the width of an interval.
        """
        if len(self.rows) <= 2 * steps:
            return self
        centre = centres(self.score, steps)
        return Cells.of(np.repeat(self.alive, self.rows), np.repeat(centre, self.rows))


def centres(score: Floats, steps: int) -> Floats:
    """The centre of the step from 0 to 1 that each score is in."""
    return (np.minimum((score * steps).astype(int), steps - 1) + 0.5) / steps


Metric = Callable[[Cells, Floats], Floats]
"""A metric takes cells and counts of shape (resamples, cells) and gives (resamples,)."""


def roc_auc(cells: Cells, counts: Floats) -> Floats:
    """Area under the ROC curve: the chance that an Alive row scores above a Dead one, ties half.

    NaN where a resample has one class only.
    """
    dead, alive = _by_score(cells, counts)
    below = np.cumsum(dead, axis=1) - dead
    pairs = dead.sum(axis=1) * alive.sum(axis=1)
    return _ratio(np.sum(alive * (below + dead / 2), axis=1), pairs)


def pr_auc(cells: Cells, counts: Floats) -> Floats:
    """Average precision: precision at each threshold, weighted by the recall that it adds.

    As `sklearn.metrics.average_precision_score`. NaN where a resample has no Alive row.
    """
    dead, alive = (side[:, ::-1] for side in _by_score(cells, counts))
    found, taken = np.cumsum(alive, axis=1), np.cumsum(alive + dead, axis=1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    return _ratio(np.sum(precision * alive, axis=1), alive.sum(axis=1))


def log_loss(cells: Cells, counts: Floats) -> Floats:
    """Mean negative log likelihood in nats."""
    return _ratio(counts @ losses(cells.alive, cells.score), counts.sum(axis=1))


def losses(alive: Flags, score: Floats) -> Floats:
    """The negative log likelihood of each label, in nats."""
    likely = np.clip(score, _EPSILON, 1 - _EPSILON)
    return -np.log(np.where(alive, likely, 1 - likely))


def brier(cells: Cells, counts: Floats) -> Floats:
    """Mean squared difference of probability and outcome (Brier, 1950)."""
    return _ratio(counts @ (cells.score - cells.alive) ** 2, counts.sum(axis=1))


def ece(bins: int) -> Metric:
    """Expected calibration error over bins of equal width (Naeini et al., 2015).

    The mean over rows of the distance, in the row's bin, of mean probability and share of Alive.
    """

    def metric(cells: Cells, counts: Floats) -> Floats:
        member = np.minimum((cells.score * bins).astype(int), bins - 1)
        one_hot = np.eye(bins)[member]
        gaps = counts @ (one_hot * (cells.score - cells.alive)[:, None])
        return _ratio(np.abs(gaps).sum(axis=1), counts.sum(axis=1))

    return metric


def accuracy(threshold: float) -> Metric:
    """Share of right predictions, Alive being predicted from the threshold on."""

    def metric(cells: Cells, counts: Floats) -> Floats:
        right = (cells.score >= threshold) == cells.alive
        return _ratio(counts @ right.astype(np.float64), counts.sum(axis=1))

    return metric


def f1(threshold: float) -> Metric:
    """Harmonic mean of precision and recall of Alive; NaN where no row is Alive or predicted so."""

    def metric(cells: Cells, counts: Floats) -> Floats:
        said = cells.score >= threshold
        hits = counts @ (said & cells.alive).astype(np.float64)
        return _ratio(2 * hits, counts @ (said.astype(np.float64) + cells.alive))

    return metric


def all_metrics(threshold: float, bins: int) -> dict[str, Metric]:
    """Every metric by name."""
    return {
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
        "log_loss": log_loss,
        "brier": brier,
        "ece": ece(bins),
        "accuracy": accuracy(threshold),
        "f1": f1(threshold),
    }


def resamples(
    rows: npt.NDArray[np.int64], number: int, generator: np.random.Generator
) -> Iterator[Floats]:
    """Draw bootstrap resamples of the rows in cells.

    Args:
        rows: Rows by cell.
        number: How many resamples.
        generator: The source of randomness.

    Yields:
        Counts of shape (some resamples, cells); each row of them adds up to the rows there are.
    """
    total = int(rows.sum())
    at_once = max(1, _DRAWS_AT_ONCE // len(rows))
    for start in range(0, number, at_once):
        size = min(at_once, number - start)
        yield generator.multinomial(total, rows / total, size=size).astype(np.float64)


def cluster_resamples(
    member: npt.NDArray[np.int64],
    cluster: npt.NDArray[np.int64],
    number: int,
    generator: np.random.Generator,
) -> Iterator[Floats]:
    """Draw bootstrap resamples of whole clusters of rows, since rows of one depend on each other.

    Args:
        member: By row its cell, from 0 on without gaps.
        cluster: By row its cluster, likewise.
        number: How many resamples.
        generator: The source of randomness.

    Yields:
        Counts of shape (some resamples, cells).
    """
    clusters = int(cluster.max()) + 1
    by_cell = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[by_cell], np.arange(int(member.max()) + 1))
    at_once = max(1, _DRAWS_AT_ONCE // len(member))
    even = np.full(clusters, 1 / clusters)
    for start in range(0, number, at_once):
        draws = generator.multinomial(clusters, even, size=min(at_once, number - start))
        rows = draws[:, cluster[by_cell]].astype(np.float64)
        yield np.add.reduceat(rows, starts, axis=1)


def _by_score(cells: Cells, counts: Floats) -> tuple[Floats, Floats]:
    """Counts of Dead and of Alive rows by distinct score, ascending."""
    starts = np.flatnonzero(np.r_[True, np.diff(cells.score) > 0])
    alive = np.add.reduceat(counts * cells.alive, starts, axis=1)
    return np.add.reduceat(counts, starts, axis=1) - alive, alive


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
