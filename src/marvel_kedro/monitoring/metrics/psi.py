"""Population stability index (PSI)."""

import numpy as np

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.distributions import Distributions
from marvel_kedro.monitoring.aggregation.value_counts import Ints

DECILES = np.arange(10, 100, 10)
EMPTY_BIN = 1e-4
"""Share that replaces 0 for an empty bin."""


def population_stability_index(numbers: Distributions, current: Ints, reference: Ints) -> Floats:
    """Compute the PSI over the ten bins between the deciles of the reference.

    The sum of (p - q) ln(p / q) over the shares p of `current` and q of `reference`. The outer bins
    are open; a bin includes its upper edge. A repeated decile is a bin of its own: otherwise a
    window that lost its most frequent value could appear unchanged. Bins that this leaves without
    width are empty on both sides and add nothing. `current` and `reference` are the compared
    distributions by pair, all with rows; they and the result have the shape (pairs,).
    """
    edges = numbers.quantiles(reference, DECILES, np.asarray(numbers.levels)[numbers.code])
    repeated = edges[:, 1:] == edges[:, :-1]
    none = np.zeros((len(reference), 1), np.bool_)
    first_of_repeated = np.hstack([repeated, none]) & ~np.hstack([none, repeated])
    code = np.where(
        first_of_repeated,
        np.searchsorted(numbers.levels, edges, side="left"),
        np.searchsorted(numbers.levels, edges, side="right"),
    )

    def shares(distribution: Ints) -> Floats:
        total = numbers.totals[distribution][:, None]
        element, _ = numbers.find(distribution[:, None], code)
        below = numbers.rows_before(distribution[:, None], element)
        share = np.diff(np.hstack([0 * total, below, total]), axis=1) / total
        return np.where(share > 0, share, EMPTY_BIN)

    p, q = shares(current), shares(reference)
    return np.sum((p - q) * np.log(p / q), axis=1)
