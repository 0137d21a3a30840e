"""Population stability index, compared with naive counts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import drift_row

from marvel_kedro.monitoring.metrics.psi import EMPTY_BIN


def naive_psi(these: list[float], those: list[float]) -> float:
    """Count bin by bin, with a bin of its own for a repeated edge."""
    edges = np.quantile(those, np.arange(1, 10) / 10, method="linear")
    distinct = sorted(set(np.round(edges, 9)))
    repeated = {edge for edge in distinct if (np.round(edges, 9) == edge).sum() > 1}
    bins: list[Any] = []
    low = -np.inf
    for edge in [*distinct, np.inf]:
        if edge in repeated:
            bins += [lambda x, a=low, b=edge: a < x < b, lambda x, b=edge: x == b]
        else:
            bins.append(lambda x, a=low, b=edge: a < x <= b)
        low = edge
    total = 0.0
    for holds in bins:
        p, q = (np.mean([holds(round(x, 9)) for x in sample]) for sample in (these, those))
        if p == q == 0:
            continue
        p, q = p or EMPTY_BIN, q or EMPTY_BIN
        total += (p - q) * np.log(p / q)
    return total


@given(
    st.lists(st.integers(0, 12).map(float), min_size=1, max_size=40),
    st.lists(st.integers(0, 12).map(float), min_size=1, max_size=40),
)
def test_psi_equals_a_count_bin_by_bin(these: list[float], those: list[float]) -> None:
    found = drift_row(these, those)["population_stability_index"]
    assert found == pytest.approx(naive_psi(these, those), abs=1e-9)


def test_psi_equals_a_hand_calculation() -> None:
    """1 .. 100 has a tenth in each bin; the window has half in the first and none in the last."""
    inner = [float(number) for number in range(20, 100, 10)]
    row = drift_row([*[1.0] * 8, *inner], [float(number) for number in range(1, 101)])
    first = (0.5 - 0.1) * np.log(0.5 / 0.1)
    eight = 8 * (1 / 16 - 0.1) * np.log(1 / 16 / 0.1)
    last = (EMPTY_BIN - 0.1) * np.log(EMPTY_BIN / 0.1)
    assert row["population_stability_index"] == pytest.approx(first + eight + last)


def test_psi_is_large_if_the_only_reference_value_disappears() -> None:
    gone = drift_row([3.0] * 50, [5.0] * 50)["population_stability_index"]
    assert gone == pytest.approx(2 * (1 - EMPTY_BIN) * np.log(1 / EMPTY_BIN))
    assert drift_row([5.0] * 9, [5.0] * 50)["population_stability_index"] == 0.0


def test_psi_of_large_samples_equals_a_count_bin_by_bin() -> None:
    generator = np.random.default_rng(4)
    these = np.round(generator.normal(178, 10, 30_000), 3).tolist()
    those = np.round(generator.normal(178.2, 10, 20_000), 3).tolist()
    row = drift_row(these, those)
    assert row["population_stability_index"] == pytest.approx(naive_psi(these, those), rel=1e-9)
