"""Holm's adjustment of p-values for multiple tests."""

from collections import defaultdict
from collections.abc import Hashable, Iterable

import numpy as np
import numpy.typing as npt

from marvel_kedro.model.metrics import Floats


def holm(pvalues: Floats) -> Floats:
    """Adjust p-values, shape (tests,), for a probability of any false rejection of at most alpha.

    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statistics 6
    (1979): the k-th smallest of m, counted from 0, times m - k; none less than the previous one and
    none more than 1. It is valid under any dependence between the tests. NaN is no test: it does
    not count, and stays NaN.
    """
    adjusted = np.full(len(pvalues), np.nan)
    tested = np.flatnonzero(~np.isnan(pvalues))
    order = tested[np.argsort(pvalues[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(pvalues[order] * factors), 1.0)
    return adjusted


def holm_by_group(
    pvalues: Floats, groups: Iterable[Hashable]
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Adjust the p-values of each group on their own.

    Returns:
        Adjusted p-values and the number of tests in their group, both of shape (tests,).
    """
    adjusted = np.full(len(pvalues), np.nan)
    tests = np.zeros(len(pvalues), dtype=np.int64)
    members: dict[Hashable, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        members[group].append(place)
    for places in members.values():
        adjusted[places] = holm(pvalues[places])
        tests[places] = np.count_nonzero(~np.isnan(pvalues[places]))
    return adjusted, tests
