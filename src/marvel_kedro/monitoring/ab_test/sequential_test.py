"""A sequential test: the gain of one entity over another, with bounds valid at every reading.

It may be read every day and stopped as soon as there is a verdict: its intervals hold at all
readings at once (`always_valid`), and so does the check of the traffic split (`mismatch`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from marvel_kedro.model.metrics import Flags, Floats, Integers


class Estimate(NamedTuple):
    """The gain of the second of two entities over the first.

    Attributes:
        gain: The difference of their means, second minus first; NaN where they share no day.
        error: Its standard error.
        first: Clusters of the first entity on days on which both answered.
        second: Those of the second.
    """

    gain: float
    error: float
    first: int
    second: int


class Bounds(NamedTuple):
    """Bounds of the gain and a p-value, valid at all readings at once."""

    low: float
    high: float
    p_value: float


def estimate(value: Floats, second: Flags, day: Integers, cluster: Integers) -> Estimate:
    """Compare two entities within each day, since days differ and the traffic split changes.

    A client's mean of a day is one observation y. With p the second entity's share of a day's
    observations, z = 1 if an observation is of the second entity and else 0, and m their mean, the
    score of a day is the sum of (z - p)(y - m): the difference of the means times the weight
    n p (1 - p). A day on which one of the two had no requests scores nothing. Scores of one client
    on several days depend on each other: their sum is squared for the variance (Liang and Zeger,
    1986). The factor n / (n - 1) makes the variance unbiased on days with few observations. Without
    a difference, z alone is random, drawn by client: it does no harm that many clients request one
    key, whose loss is the same.

    Args:
        value: The averaged value of each record.
        second: True for records of the second entity.
        day: Day of each record, from 0 on.
        cluster: Client or request of each record, from 0 on; both entities may share a number.
    """
    if not len(value):
        return Estimate(np.nan, np.nan, 0, 0)
    # A client with records of both entities counts as two clients.
    own = 2 * cluster + second
    unit = own * (int(day.max()) + 1) + day
    start, member = np.unique(unit, return_index=True, return_inverse=True)[1:]
    y = np.bincount(member, value) / np.bincount(member)
    z, d, own = second[start].astype(np.float64), day[start], own[start]
    rows = np.bincount(d)
    share, mean = (np.bincount(d, each) / np.maximum(rows, 1) for each in (z, y))
    counted = ((share > 0) & (share < 1))[d]
    if not counted.any():
        return Estimate(np.nan, np.nan, 0, 0)
    score = (z - share[d]) * (y - mean[d])
    weight = float(np.sum(rows * share * (1 - share)))
    unbiased = score * np.sqrt(rows / np.maximum(rows - 1, 1))[d]
    by_cluster = np.bincount(np.unique(own, return_inverse=True)[1], unbiased)
    error = float(np.sqrt(np.sum(by_cluster**2))) / weight
    clusters = np.bincount(np.unique(own[counted]) % 2, minlength=2).tolist()
    return Estimate(float(score.sum()) / weight, error, *clusters)


def always_valid(found: Estimate, expected: float, alpha: float) -> Bounds:
    """Compute bounds and a p-value that are valid at all readings at once.

    The mixture sequential probability ratio test with the mixing distribution N(0, expected^2)
    (Robbins, 1970; Johari, Koomen, Pekelis and Walsh, "Always valid inference", Operations Research
    70, 2022). With I = 1 / error^2, the likelihood ratio against no difference is
    (1 + expected^2 I)^(-1/2) exp(gain^2 I expected^2 I / (2 (1 + expected^2 I))), the p-value its
    inverse, and the bounds are the differences against which it is 1 / alpha. They are those of the
    asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas ("Time-uniform
    central limit theory and asymptotic confidence sequences", Annals of Statistics 52, 2024) with
    rho^2 t = expected^2 I: it also holds where the variance is estimated and observations are not
    normal, once there are enough of them (`min_clusters`). Observations of returning clients are
    correlated from reading to reading, which makes false alarms rarer, not more frequent.

    `expected` is the effect size that the test is tuned to detect, `alpha` the probability that the
    bounds ever exclude the true gain.
    """
    if not found.error > 0:  # no observations, or no variance
        return Bounds(-np.inf, np.inf, 1.0)
    squared = (expected / found.error) ** 2
    exponent = (found.gain / found.error) ** 2 * squared / (2 * (1 + squared))
    log_ratio = exponent - 0.5 * math.log1p(squared)
    reach = found.error * math.sqrt((1 + 1 / squared) * (math.log1p(squared) - 2 * math.log(alpha)))
    return Bounds(found.gain - reach, found.gain + reach, min(1.0, math.exp(min(0.0, -log_ratio))))


def mismatch(counts: Sequence[Sequence[int]], shares: Sequence[Sequence[float]]) -> float:
    """Compute a p-value, valid at every reading, for counts that should follow given shares.

    The Dirichlet-multinomial test of Lindon and Malek ("Anytime-valid inference for multinomial
    count data", NeurIPS 2022) with a prior of 100 observations around the shares. Where the shares
    change, each period is tested by itself, because a client keeps its route: an imbalance of one
    period is there in the next. The p-value of period i counts i (i + 1) times, which bounds the
    chance of a false alarm over any number of periods. Counts and shares are by period and entity;
    the shares of a period add up to 1.
    """
    periods = enumerate(zip(counts, shares, strict=True), 1)
    return min([1.0, *(i * (i + 1) * _mismatch(*period) for i, period in periods)])


def _mismatch(counts: Sequence[int], shares: Sequence[float]) -> float:
    prior = 100.0
    log_ratio = math.lgamma(prior) - math.lgamma(prior + sum(counts))
    for count, share in zip(counts, shares, strict=True):
        if share == 0 and count:
            return 0.0
        if share > 0:
            log_ratio += math.lgamma(prior * share + count) - math.lgamma(prior * share)
            log_ratio -= count * math.log(share)
    return math.exp(min(0.0, -log_ratio))
