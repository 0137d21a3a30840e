"""How far windows are apart: against scipy and numpy on the rows that were counted."""

import itertools
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from support.samples import ALL, distribution, group, many, window

from marvel_kedro.monitoring.aggregation.value_counts import Kind, Part, Window
from marvel_kedro.monitoring.metrics.drift import (
    EMPTY_BIN,
    chi_squared_pvalue,
    drift_metrics,
    ks_pvalue,
)
from marvel_kedro.monitoring.tables import DRIFT_METRICS, TABLE

OF_NUMBERS = ["ks_test", "wasserstein_distance", "population_stability_index"]
OF_CATEGORIES = ["chi_squared_test", "tv_distance", "l_infinity_distance", "js_distance"]
TESTS = [*OF_NUMBERS, *OF_CATEGORIES]
samples = st.lists(
    st.one_of(st.integers(0, 4).map(float), st.floats(-1e3, 1e3).map(lambda x: round(x, 3))),
    min_size=1,
    max_size=40,
)
words = st.lists(st.sampled_from(["", "a", "b", "c", "d", "é", "z"]), min_size=1, max_size=30)


def compared(these: list[Any], those: list[Any], kind: Kind = "number") -> dict[str, Any]:
    """The row of the only column of a window, held against a baseline."""
    one, other = (
        group({"one": distribution(sample, kind)}, records=len(sample)) for sample in (these, those)
    )
    found = drift_metrics({(window(0), ALL): one}, {ALL: other})
    assert found.schema.equals(DRIFT_METRICS)
    assert found["column_name"].to_pylist() == [TABLE, "one"]
    return found.to_pylist()[1]


def naive_psi(these: list[float], those: list[float]) -> float:
    """Count bin by bin, an edge that comes again being a bin of its own."""
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


@pytest.mark.filterwarnings("ignore:divide by zero")  # scipy's p-value of one row each
@given(samples, samples)
def test_numbers_are_as_far_apart_as_scipy_says(these: list[float], those: list[float]) -> None:
    row = compared(these, those)
    reference = stats.ks_2samp(these, those, method="asymp")
    assert row["ks_test"]["statistic"] == pytest.approx(reference.statistic, abs=1e-12)
    assert 0 <= row["ks_test"]["pvalue"] <= 1
    assert row["wasserstein_distance"] == pytest.approx(
        stats.wasserstein_distance(these, those), rel=1e-9, abs=1e-9
    )
    assert row["avg_delta"] == pytest.approx(np.mean(these) - np.mean(those), abs=1e-9)
    assert [row[name] for name in OF_CATEGORIES] == [None] * 4


@given(
    st.lists(st.integers(0, 12).map(float), min_size=1, max_size=40),
    st.lists(st.integers(0, 12).map(float), min_size=1, max_size=40),
)
def test_the_stability_index_bin_by_bin(these: list[float], those: list[float]) -> None:
    found = compared(these, those)["population_stability_index"]
    assert found == pytest.approx(naive_psi(these, those), abs=1e-9)


def test_the_stability_index_by_hand() -> None:
    """1 .. 100 has a tenth in each bin; of the window a half is in the first, none in the last."""
    inner = [float(number) for number in range(20, 100, 10)]
    row = compared([*[1.0] * 8, *inner], [float(number) for number in range(1, 101)])
    first = (0.5 - 0.1) * np.log(0.5 / 0.1)
    eight = 8 * (1 / 16 - 0.1) * np.log(1 / 16 / 0.1)
    last = (EMPTY_BIN - 0.1) * np.log(EMPTY_BIN / 0.1)
    assert row["population_stability_index"] == pytest.approx(first + eight + last)


def test_who_left_the_only_value_of_the_other_side_is_found() -> None:
    gone = compared([3.0] * 50, [5.0] * 50)["population_stability_index"]
    assert gone == pytest.approx(2 * (1 - EMPTY_BIN) * np.log(1 / EMPTY_BIN))
    assert compared([5.0] * 9, [5.0] * 50)["population_stability_index"] == 0.0


@given(words, words)
def test_categories_are_as_far_apart_as_scipy_says(these: list[str], those: list[str]) -> None:
    row = compared(these, those, "category")
    names = sorted({*these, *those})
    table = np.array([[sample.count(name) for name in names] for sample in (these, those)])
    reference = stats.chi2_contingency(table, correction=False)
    assert row["chi_squared_test"]["statistic"] == pytest.approx(reference.statistic, abs=1e-9)
    assert 0 <= row["chi_squared_test"]["pvalue"] <= 1
    p, q = table / table.sum(axis=1, keepdims=True)
    assert row["tv_distance"] == pytest.approx(np.abs(p - q).sum() / 2, abs=1e-12)
    assert row["l_infinity_distance"] == pytest.approx(np.abs(p - q).max(), abs=1e-12)
    assert row["js_distance"] == pytest.approx(jensenshannon(p, q, base=2), abs=1e-7)
    assert [row[name] for name in OF_NUMBERS] == [None] * 3


def test_categories_by_hand() -> None:
    """Shares 3/4, 1/4, 0 and 1/4, 1/4, 1/2 of four rows each."""
    row = compared(["a", "a", "a", "b"], ["a", "b", "c", "c"], "category")
    assert row["tv_distance"] == pytest.approx(0.5)
    assert row["l_infinity_distance"] == pytest.approx(0.5)
    assert row["chi_squared_test"]["statistic"] == pytest.approx(1 + 0 + 2)


@given(
    st.lists(st.sampled_from("abcd"), min_size=1, max_size=5),
    st.lists(st.sampled_from("abcd"), min_size=3, max_size=5),
)
def test_the_chi_squared_p_value_is_by_the_moments_over_all_deals(
    these: list[str], those: list[str]
) -> None:
    """The reference deals the rows of both sides in every way there is."""
    rows = np.array([*these, *those])
    places = set(range(len(rows)))
    dealt = [
        pearson(rows[list(some)], rows[list(places - set(some))])
        for some in itertools.combinations(places, len(these))
    ]
    test = compared(these, those, "category")["chi_squared_test"]
    mean, variance = np.mean(dealt), np.var(dealt)
    if variance < 1e-9:
        assert test["pvalue"] == 1.0
    else:
        reference = stats.gamma(mean**2 / variance, scale=variance / mean)
        assert test["pvalue"] == pytest.approx(
            reference.sf(pearson(np.array(these), np.array(those))), abs=1e-6
        )


def pearson(these: npt.NDArray[np.str_], those: npt.NDArray[np.str_]) -> float:
    names = np.union1d(these, those)
    table = [[np.sum(sample == name) for name in names] for sample in (these, those)]
    return float(stats.chi2_contingency(table, correction=False).statistic)


def test_frequent_categories_have_the_p_value_of_scipy() -> None:
    counts = {"a": (300, 3000), "b": (200, 2500), "c": (100, 1200)}
    this, other = (
        [name for name, rows in counts.items() for _ in range(rows[side])] for side in (0, 1)
    )
    reference = stats.chi2_contingency(np.array(list(counts.values())), correction=False)
    found = compared(this, other, "category")["chi_squared_test"]["pvalue"]
    assert found == pytest.approx(reference.pvalue, abs=1e-3)


def test_rare_categories_raise_no_more_false_alarms_than_they_should() -> None:
    """2,000 windows of one distribution with their baseline; chi-squared would call 17 %."""
    both = np.repeat([1, 2, 5, 10], [2000, 1500, 1000, 1000])
    rows, first = both.sum(), 1000
    second = rows - first
    drawn = np.random.default_rng(3).multivariate_hypergeometric(
        both, first, size=2000, method="marginals"
    )
    statistic = rows**2 / (first * second) * ((drawn**2 / both).sum(axis=1) - first**2 / rows)
    pvalue = chi_squared_pvalue(
        statistic,
        np.full(2000, first),
        np.full(2000, second),
        np.full(2000, len(both)),
        np.full(2000, np.sum(1 / both)),
    )
    # Three standard deviations about the nominal share.
    assert 0.035 < np.mean(pvalue <= 0.05) < 0.065
    assert np.mean(pvalue <= 0.005) < 0.01
    assert np.mean(stats.chi2.sf(statistic, len(both) - 1) <= 0.05) > 0.1


@pytest.mark.parametrize("kind", ["number", "category", "text"])
def test_equal_shares_are_exactly_nothing_apart(kind: Kind) -> None:
    sample: list[Any] = [0.1, 0.2, 0.2, 7.3] if kind == "number" else ["a", "bb", "bb", "c"]
    row = compared(sample * 3, sample, kind)
    found = [row[name] for name in TESTS if row[name] is not None]
    assert found == [
        {"statistic": 0.0, "pvalue": 1.0} if isinstance(each, dict) else 0.0 for each in found
    ]
    assert len(found) == (4 if kind == "category" else 3)


@pytest.mark.parametrize("seed", range(4))  # what is left is of either sign
def test_sums_of_floats_leave_nothing_of_equal_shares(seed: int) -> None:
    sample = np.round(np.random.default_rng(seed).lognormal(4, 1, 900), 3).tolist()
    row = compared(sample * 7, sample)
    assert [row[name] for name in OF_NUMBERS] == [{"statistic": 0.0, "pvalue": 1.0}, 0.0, 0.0]


def test_free_text_is_compared_by_its_length() -> None:
    row = compared(["a", "bb", "cccc"], ["x", "yy"], "text")
    assert row["wasserstein_distance"] == pytest.approx(
        stats.wasserstein_distance([1, 2, 4], [1, 2])
    )
    assert row["avg_delta"] == pytest.approx(7 / 3 - 1.5)
    assert row["percent_distinct_delta"] is None


@pytest.mark.parametrize(
    ("statistic", "first", "second", "seen"),
    [(0.038, 941, 1192, 0.4228041687817168), (0.062, 1192, 1344, 0.014853915612309707)],
)
def test_p_values_are_near_those_that_databricks_was_seen_to_write(
    statistic: float, first: int, second: int, seen: float
) -> None:
    """Rows of a drift table that a user published."""
    found = ks_pvalue(np.array([statistic]), np.array([first]), np.array([second]))
    assert found[0] == pytest.approx(seen, abs=3e-4)


@pytest.mark.parametrize("size", [40, 100, 280, 2000])
def test_p_values_are_near_the_exact_ones_of_one_sample(size: int) -> None:
    statistic = np.linspace(0.3, 2.5, 23) / np.sqrt(size / 2)
    found = ks_pvalue(statistic, np.full(23, size), np.full(23, size))
    exact = stats.kstwo.sf(statistic, size // 2)
    assert np.abs(found - exact).max() < 1e-3
    assert found[exact > 0.01] == pytest.approx(exact[exact > 0.01], rel=0.05)
    # The limit alone is further off.
    limit = stats.kstwobign.sf(statistic * np.sqrt(size / 2))
    assert np.abs(found - exact).max() < np.abs(limit - exact).max() / 10


def test_p_values_of_tied_halves_keep_their_promise() -> None:
    """No difference: a p-value below 0.05 comes at most that often; ties make it rarer."""
    generator = np.random.default_rng(3)
    draws = np.round(generator.normal(0, 1, (400, 2, 80)), 1)
    below = [
        compared(one.tolist(), other.tolist())["ks_test"]["pvalue"] < 0.05 for one, other in draws
    ]
    assert 0.01 < np.mean(below) < 0.05 + 2 * np.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("kind", ["number", "category", "text"])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_side_without_values_has_no_test(kind: Kind, swapped: bool) -> None:
    value: Any = 1.0 if kind == "number" else "a"
    values, nothing = [value, value, None, value], [None, None]
    row = compared(nothing, values, kind) if swapped else compared(values, nothing, kind)
    assert [row[name] for name in TESTS] == [None] * len(TESTS)
    assert row["avg_delta"] is None
    assert row["percent_null_delta"] == (75.0 if swapped else -75.0)
    assert row["count_delta"] == (-2 if swapped else 2)


def test_nulls_are_no_category() -> None:
    row = compared(["a", "b", None, None], ["a", "b"], "category")
    assert row["tv_distance"] == 0.0
    assert row["percent_null_delta"] == 50.0


def test_nan_is_no_value() -> None:
    row = compared([1.0, 2.0, np.nan, np.inf], [1.0, 2.0])
    assert row["ks_test"]["statistic"] == 0.0
    assert compared([np.nan], [1.0])["ks_test"] is None


def test_a_column_of_another_kind_is_not_compared() -> None:
    this = group({"one": distribution([1.0])}, records=1)
    that = group({"one": distribution(["1"], "category")}, records=1)
    row = drift_metrics({(window(0), ALL): this}, {ALL: that}).to_pylist()[1]
    assert [row[name] for name in TESTS] == [None] * len(TESTS)
    assert row["percent_null_delta"] == 0.0
    assert row["data_type"] == "double"


def test_a_column_that_one_side_lacks_has_a_row_without_figures() -> None:
    height, origin = distribution([1.0, 2.0]), distribution(["Human", "Human"], "category")
    this = group({"height": height, "weight": height}, records=2)
    that = group({"height": height, "origin": origin, "teams": origin}, records=5)
    table, *rows = drift_metrics({(window(0), ALL): this}, {ALL: that}).to_pylist()
    assert table["count_delta"] == -3
    assert table["non_null_columns_delta"] == {"added": 1, "missing": 2}
    assert [(row["column_name"], row["data_type"]) for row in rows] == [
        ("height", "double"),
        ("origin", "string"),
        ("teams", "string"),
        ("weight", "double"),
    ]
    figures = [name for name in DRIFT_METRICS.names if name.endswith("_delta")] + TESTS
    for row in rows[1:]:
        assert [row[name] for name in figures] == [None] * len(figures)
    assert rows[0]["count_delta"] == 0


def test_deltas_are_this_side_minus_the_other() -> None:
    row = compared([0.0, 0.0, 1.0, None], [0.0, 2.0, 3.0, 5.0, None, None, None, None])
    assert row["count_delta"] == -4
    assert row["avg_delta"] == pytest.approx(1 / 3 - 2.5)
    assert row["percent_null_delta"] == pytest.approx(25 - 50)
    assert row["percent_zeros_delta"] == pytest.approx(50 - 12.5)
    assert row["percent_distinct_delta"] == pytest.approx(50 - 50)


def test_which_windows_are_compared() -> None:
    week = Window("1 week", window(0).start, window(0).start + timedelta(days=7))
    sliced = Part("3", "gender", "Male")
    one = group({"height": distribution([1.0])}, records=1)
    days = [(window(day), ALL) for day in (3, 0, 1)]  # none on day 2
    groups = dict.fromkeys([*days, (window(1), sliced), (window(1), Part("4")), (week, ALL)], one)
    found = drift_metrics(groups, {ALL: one, Part("9"): one})
    tables = [row for row in found.to_pylist() if row["column_name"] == TABLE]
    zero, first, third = (window(day).start for day in (0, 1, 3))
    assert [
        (row["granularity"], row["window"]["start"], row["drift_type"], row["window_cmp"])
        for row in tables
    ] == [
        ("1 day", zero, "BASELINE", None),
        ("1 day", first, "BASELINE", None),
        ("1 day", first, "CONSECUTIVE", {"start": zero, "end": first}),
        ("1 day", third, "BASELINE", None),
        ("1 week", zero, "BASELINE", None),
    ]
    assert {row["model_version"] for row in tables} == {"3"}
    assert {row["slice_key"] for row in tables} == {None}


def test_nothing_to_compare_is_an_empty_table() -> None:
    one = group({"height": distribution([1.0])}, records=1)
    for found in (drift_metrics({}, {}), drift_metrics({(window(0), ALL): one}, {})):
        assert found.num_rows == 0
        assert found.schema.equals(DRIFT_METRICS)
    bare = drift_metrics({(window(0), ALL): group(records=3)}, {ALL: group(records=1)})
    assert bare["count_delta"].to_pylist() == [2]
    assert bare["non_null_columns_delta"].to_pylist() == [{"added": 0, "missing": 0}]


def test_the_same_counts_give_the_same_bits_whatever_else_is_computed() -> None:
    base, *rest = many(1)
    of = {(window(2 * day), ALL): each for day, each in enumerate(rest)}
    together = drift_metrics(of, {ALL: base})
    assert drift_metrics(dict(reversed(of.items())), {ALL: base}).equals(together)
    alone = [drift_metrics({key: each}, {ALL: base}) for key, each in of.items()]
    assert pa.concat_tables(alone).equals(together)


def test_large_samples_are_as_far_apart_as_scipy_says() -> None:
    generator = np.random.default_rng(4)
    these = np.round(generator.normal(178, 10, 30_000), 3).tolist()
    those = np.round(generator.normal(178.2, 10, 20_000), 3).tolist()
    row = compared(these, those)
    reference = stats.ks_2samp(these, those, method="asymp")
    assert row["ks_test"]["statistic"] == pytest.approx(reference.statistic, abs=1e-12)
    assert row["ks_test"]["pvalue"] == pytest.approx(reference.pvalue, rel=0.01)
    assert row["wasserstein_distance"] == pytest.approx(
        stats.wasserstein_distance(these, those), rel=1e-9
    )
    assert row["population_stability_index"] == pytest.approx(naive_psi(these, those), rel=1e-9)
