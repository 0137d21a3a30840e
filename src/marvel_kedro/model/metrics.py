"""Performance metrics of a binary classifier, computed from counts.

Rows with the same score and label are one pair, and a metric is a function of the rows per pair. A
bootstrap resample is then one multinomial draw over the pairs, which has the distribution of
drawing rows with replacement, and each metric is computed for many resamples at once. Labels are
true for the positive class; a score is its probability.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_EPSILON = float(np.finfo(np.float64).eps)  # scikit-learn clips there, too
_DRAWS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class ScorePairs:
    """Distinct (score, label) pairs by ascending score, and the rows of each: shape (pairs,)."""

    score: Floats
    positive: Flags
    rows: Integers

    @classmethod
    def of(cls, positive: Flags, score: Floats) -> "ScorePairs":
        """Count the rows of each pair."""
        return cls.with_members(positive, score)[0]

    @classmethod
    def with_members(cls, positive: Flags, score: Floats) -> "tuple[ScorePairs, Integers]":
        """Count the rows of each pair; also return the pair of each row."""
        pairs, member, rows = np.unique(
            np.column_stack([score, positive.astype(np.float64)]),
            axis=0,
            return_inverse=True,
            return_counts=True,
        )
        return cls(pairs[:, 0], pairs[:, 1] > 0, rows.astype(np.int64)), member.reshape(-1)


Metric = Callable[[ScorePairs, Floats], Floats]
"""A function of pairs and counts of shape (resamples, pairs) that returns shape (resamples,)."""


def value_of(metric: Metric, pairs: ScorePairs) -> float:
    """Compute a metric of the rows themselves, without resampling."""
    return float(metric(pairs, pairs.rows[None, :].astype(np.float64))[0])


def roc_auc(pairs: ScorePairs, counts: Floats) -> Floats:
    """Compute the area under the ROC curve; NaN where a resample has only one class.

    It is the probability that a positive row scores above a negative one, where ties count half.
    """
    negative, positive = _by_score(pairs, counts)
    below = np.cumsum(negative, axis=1) - negative
    comparisons = negative.sum(axis=1) * positive.sum(axis=1)
    return _ratio(np.sum(positive * (below + negative / 2), axis=1), comparisons)


def pr_auc(pairs: ScorePairs, counts: Floats) -> Floats:
    """Compute the average precision; NaN where a resample has no positive row.

    As `sklearn.metrics.average_precision_score`: the precision at each threshold, weighted by the
    recall that it adds.
    """
    negative, positive = (side[:, ::-1] for side in _by_score(pairs, counts))
    found, taken = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
    precision = np.divide(found, taken, out=np.zeros_like(found), where=taken > 0)
    return _ratio(np.sum(precision * positive, axis=1), positive.sum(axis=1))


def log_loss(pairs: ScorePairs, counts: Floats) -> Floats:
    """Compute the mean negative log likelihood in nats."""
    return _ratio(counts @ losses(pairs.positive, pairs.score), counts.sum(axis=1))


def losses(positive: Flags, score: Floats) -> Floats:
    """Compute the negative log likelihood of each label, in nats."""
    likely = np.clip(score, _EPSILON, 1 - _EPSILON)
    return -np.log(np.where(positive, likely, 1 - likely))


def brier(pairs: ScorePairs, counts: Floats) -> Floats:
    """Compute the mean squared difference of probability and outcome (Brier, 1950)."""
    return _ratio(counts @ (pairs.score - pairs.positive) ** 2, counts.sum(axis=1))


def ece(pairs: ScorePairs, counts: Floats, *, bins: int) -> Floats:
    """Compute the expected calibration error over bins of equal width (Naeini et al., 2015).

    It is the mean over rows of the distance, in the row's bin, between the mean probability and the
    share of positive rows.
    """
    member = np.minimum((pairs.score * bins).astype(int), bins - 1)
    gaps = counts @ (np.eye(bins)[member] * (pairs.score - pairs.positive)[:, None])
    return _ratio(np.abs(gaps).sum(axis=1), counts.sum(axis=1))


def accuracy(pairs: ScorePairs, counts: Floats, *, threshold: float) -> Floats:
    """Compute the share of correct predictions; a score at or above the threshold is positive."""
    correct = (pairs.score >= threshold) == pairs.positive
    return _ratio(counts @ correct.astype(np.float64), counts.sum(axis=1))


def f1(pairs: ScorePairs, counts: Floats, *, threshold: float) -> Floats:
    """Compute the F1 score of the positive class; NaN where no row is or is predicted positive."""
    predicted = pairs.score >= threshold
    hits = counts @ (predicted & pairs.positive).astype(np.float64)
    return _ratio(2 * hits, counts @ (predicted.astype(np.float64) + pairs.positive))


def all_metrics(threshold: float, bins: int) -> dict[str, Metric]:
    """Return every metric by name."""
    return {
        "roc_auc": roc_auc,
        "pr_auc": pr_auc,
        "log_loss": log_loss,
        "brier": brier,
        "ece": partial(ece, bins=bins),
        "accuracy": partial(accuracy, threshold=threshold),
        "f1": partial(f1, threshold=threshold),
    }


def resamples(rows: Integers, number: int, generator: np.random.Generator) -> Iterator[Floats]:
    """Draw a number of bootstrap resamples from the rows of each pair.

    Yields:
        Counts of shape (some resamples, pairs); each resample has as many rows as there are.
    """
    total = int(rows.sum())
    at_once = max(1, _DRAWS_AT_ONCE // len(rows))
    for start in range(0, number, at_once):
        size = min(at_once, number - start)
        yield generator.multinomial(total, rows / total, size=size).astype(np.float64)


def cluster_resamples(
    member: Integers, cluster: Integers, number: int, generator: np.random.Generator
) -> Iterator[Floats]:
    """Draw a number of bootstrap resamples of whole clusters of rows that depend on each other.

    `member` is the pair of each row and `cluster` its cluster, both numbered from 0 without gaps.

    Yields:
        Counts of shape (some resamples, pairs).
    """
    clusters = int(cluster.max()) + 1
    by_pair = np.argsort(member, kind="stable")
    starts = np.searchsorted(member[by_pair], np.arange(int(member.max()) + 1))
    at_once = max(1, _DRAWS_AT_ONCE // len(member))
    even = np.full(clusters, 1 / clusters)
    for start in range(0, number, at_once):
        draws = generator.multinomial(clusters, even, size=min(at_once, number - start))
        rows = draws[:, cluster[by_pair]].astype(np.float64)
        yield np.add.reduceat(rows, starts, axis=1)


def _by_score(pairs: ScorePairs, counts: Floats) -> tuple[Floats, Floats]:
    """Count negative and positive rows by distinct score, ascending."""
    starts = np.flatnonzero(np.r_[True, np.diff(pairs.score) > 0])
    positive = np.add.reduceat(counts * pairs.positive, starts, axis=1)
    return np.add.reduceat(counts, starts, axis=1) - positive, positive


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
