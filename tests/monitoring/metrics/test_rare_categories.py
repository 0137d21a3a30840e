"""Drift among thousands of rare categories: power, false alarms, and the pooled cells."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from support.alert_metrics import evaluated, shipped
from support.samples import ALL, CLASSES, group, window

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.value_counts import Distribution, Group, Ints, Segment
from marvel_kedro.monitoring.metrics.drift import drift_metrics
from marvel_kedro.monitoring.metrics.profile import profile_metrics
from marvel_kedro.monitoring.metrics.statistical_tests import chi_squared_pvalue

UNIVERSES = 0.68 / np.arange(1, 3700) / np.sum(1 / np.arange(1, 3700))
UNIVERSES = np.append(0.32, UNIVERSES)  # one frequent universe, and a long tail
FEW = np.array([0.5, 0.2, 0.1, 0.08, 0.06, 0.03, 0.02, 0.01])
EVEN = np.full(1000, 1 / 1000)
RARE = UNIVERSES < 0.002


def counted(rows: Ints) -> Distribution:
    names = np.array([f"{number:05}" for number in np.flatnonzero(rows)], np.object_)
    return Distribution("category", names, rows[rows > 0], 0)


def sample(generator: np.random.Generator, shares: Floats, rows: int) -> Group:
    drawn = generator.multinomial(rows, shares / shares.sum())
    return group({"universe": counted(drawn)}, records=rows)


def pvalues(now: Floats, before: Floats, rows: int, others: int, windows: int) -> Floats:
    """Return the p-value of each window, compared with a baseline of its own."""
    generator = np.random.default_rng(11)
    segments = [Segment(str(number)) for number in range(windows)]
    base = {segment: sample(generator, before, others) for segment in segments}
    groups = {(window(0), segment): sample(generator, now, rows) for segment in segments}
    tests = drift_metrics(groups, base)["chi_squared_test"][1::2]
    return np.array([test["pvalue"] for test in tests.to_pylist()])


def forced(share: float) -> Floats:
    return np.where(np.arange(len(UNIVERSES)) == 0, share, 0.0) + UNIVERSES * (1 - share)


def alternating() -> Floats:
    """Half of the rare universes nearly vanish in favour of the other half."""
    return np.where(RARE, UNIVERSES * np.where(np.arange(len(UNIVERSES)) % 2, 0.1, 1.9), UNIVERSES)


SHIFTS: dict[str, tuple[Floats, int, int]] = {
    "one value": (forced(1), 400, 19_000),
    "one value, small samples": (forced(1), 140, 160),
    "one value, few records": (forced(1), 30, 19_000),
    "a fifth to one value": (forced(0.2), 1000, 19_000),
    "all rare ones half as often": (np.where(RARE, UNIVERSES / 2, UNIVERSES), 1000, 19_000),
    "all rare ones half as often, small baseline": (
        np.where(RARE, UNIVERSES / 2, UNIVERSES), 19_000, 1000,
    ),
    "from the rarest to less rare ones": (
        np.where(np.arange(3700) > 740, UNIVERSES / 5, np.where(RARE, UNIVERSES * 2, UNIVERSES)),
        1000, 19_000,
    ),
    "from one half of the rare ones to the other": (alternating(), 3000, 19_000),
    "a new value": (np.append(UNIVERSES, 0.1), 300, 19_000),
    "many new values": (np.append(UNIVERSES, np.full(50, 0.002)), 300, 19_000),
    "many new values, small baseline": (np.append(UNIVERSES, np.full(50, 0.002)), 19_000, 1000),
}  # fmt: skip


@pytest.mark.parametrize("shift", SHIFTS)
def test_shift_among_rare_categories_is_detected(shift: str) -> None:
    now, rows, others = SHIFTS[shift]
    assert np.max(pvalues(now, UNIVERSES, rows, others, windows=8)) < 0.01


@pytest.mark.parametrize(
    ("shares", "rows", "others"),
    [
        (UNIVERSES, 30, 30), (UNIVERSES, 300, 5000), (UNIVERSES, 5000, 300), (FEW, 30, 5000),
        (FEW, 30, 30), (EVEN, 300, 5000), (EVEN, 300, 300), (np.ones(1), 30, 300),
    ],
)  # fmt: skip
def test_false_alarms_are_at_most_nominal(shares: Floats, rows: int, others: int) -> None:
    found = pvalues(shares, shares, rows, others, windows=200)
    assert np.mean(found <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
    assert np.mean(found <= 0.001) <= 0.01
    assert np.max(found) <= 1


def test_window_of_one_frequent_value_raises_the_shipped_alert() -> None:
    generator = np.random.default_rng(2)
    base = {ALL: sample(generator, UNIVERSES, 19_000)}

    def alerts(shares: Floats) -> list[str]:
        groups = {(window(0), ALL): sample(generator, shares, 400)}
        metrics = {
            "drift_metrics": drift_metrics(groups, base),
            "profile_metrics": profile_metrics(groups, base, CLASSES),
        }
        return [row["rule"] for row in evaluated(metrics, shipped(), window(1).end)]

    assert alerts(forced(1)) == ["input_drift"]
    assert alerts(UNIVERSES) == []


def pooled(rows: Ints, others: Ints) -> tuple[Ints, Ints]:
    """Pool by definition, one category after the other."""
    n, m = rows.sum(), others.sum()
    expected = (rows + others) * min(n, m) / (n + m)
    cells: dict[Any, npt.NDArray[np.int64]] = {}
    for at in np.argsort(rows + others, kind="stable"):
        total = rows + others
        rarer = expected[total < 2 ** np.floor(np.log2(total[at]))].sum()
        fives = 0 if 2 * np.count_nonzero(others) > m else np.floor(rarer / 5 + 1e-9)
        cell = at if expected[at] >= 5 else f"{fives:.0f} fives"
        cells[cell] = cells.get(cell, 0) + np.array([rows[at], others[at]])
    sides = np.array(list(cells.values()))
    return sides[:, 0], sides[:, 1]


def pvalue(rows: Ints, others: Ints) -> float:
    statistic = stats.chi2_contingency([rows, others], correction=False).statistic
    sizes = (rows.sum(), others.sum(), len(rows), np.sum(1 / (rows + others)))
    return float(chi_squared_pvalue(statistic, *map(np.array, sizes)))


@pytest.mark.parametrize("seed", range(40))
def test_p_value_is_twice_the_smaller_of_all_categories_and_pooled_ones(seed: int) -> None:
    generator = np.random.default_rng(seed)
    number = int(generator.choice([2, 5, 30, 400]))
    sizes = generator.choice([1, 7, 30, 300, 2000], 2)
    sides = [
        generator.multinomial(size, generator.dirichlet(np.full(number, 0.3))) for size in sizes
    ]
    rows, others = (side[np.sum(sides, axis=0) > 0] for side in sides)
    now, before = (group({"one": counted(side)}) for side in (rows, others))
    found = drift_metrics({(window(0), ALL): now}, {ALL: before})["chi_squared_test"][1].as_py()
    plain, cells = pvalue(rows, others), pooled(rows, others)
    is_pooled = 1 < len(cells[0]) < len(rows)
    expected = min(1, 2 * min(plain, pvalue(*cells))) if is_pooled else plain
    assert found["pvalue"] == pytest.approx(expected, abs=1e-9)
    if np.min((rows + others) * min(sizes) / sum(sizes)) >= 5:
        assert expected == plain


@pytest.mark.parametrize("share_known", [1.0, 0.2])
def test_titles_that_come_back_are_no_drift(share_known: float) -> None:
    """Records are scored again and again, some of them in the baseline; one that floods is seen."""
    titles = np.random.default_rng(0).permutation(round(3000 / share_known))
    drawn = np.random.default_rng(1).choice(titles, 1600)
    known = titles < 3000

    def group_of(sample: Ints) -> Distribution:
        return counted(np.bincount(sample, minlength=len(titles)))

    baseline = group_of(titles[known])
    for sample, is_drift in ((drawn, False), (np.append(drawn, np.full(200, 7)), True)):
        now, before = (group({"title": one}) for one in (group_of(sample), baseline))
        found = drift_metrics({(window(0), ALL): now}, {ALL: before})["chi_squared_test"][1]
        assert (found.as_py()["pvalue"] < 0.001) == is_drift
