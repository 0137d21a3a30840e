"""Drift metrics, compared with SciPy and NumPy on the counted rows."""

import itertools
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial.distance import jensenshannon
from support.samples import ALL, distribution, drift_row, group, many, window

from marvel_kedro.monitoring.aggregation.value_counts import Kind, Segment, Window
from marvel_kedro.monitoring.metrics.drift import drift_metrics
from marvel_kedro.monitoring.tables import DRIFT_METRICS, TABLE

OF_NUMBERS = ["ks_test", "wasserstein_distance", "population_stability_index"]
OF_CATEGORIES = ["chi_squared_test", "tv_distance", "l_infinity_distance", "js_distance"]
TESTS = [*OF_NUMBERS, *OF_CATEGORIES]
SIZES = (1, 2, 3, 8, 112, 300, 3001)
samples = st.lists(
    st.one_of(st.integers(0, 4).map(float), st.floats(-1e3, 1e3).map(lambda x: round(x, 3))),
    min_size=1,
    max_size=40,
)
words = st.lists(st.sampled_from(["", "a", "b", "c", "d", "é", "z"]), min_size=1, max_size=30)


@pytest.mark.filterwarnings("ignore:divide by zero")  # scipy's p-value of one row each
@given(samples, samples)
def test_ks_and_wasserstein_of_numbers_equal_scipy(these: list[float], those: list[float]) -> None:
    row = drift_row(these, those)
    reference = stats.ks_2samp(these, those, method="asymp")
    assert row["ks_test"]["statistic"] == pytest.approx(reference.statistic, abs=1e-12)
    assert 0 <= row["ks_test"]["pvalue"] <= 1
    assert row["wasserstein_distance"] == pytest.approx(
        stats.wasserstein_distance(these, those), rel=1e-9, abs=1e-9
    )
    assert row["avg_delta"] == pytest.approx(np.mean(these) - np.mean(those), abs=1e-9)
    assert [row[name] for name in OF_CATEGORIES] == [None] * 4


@given(words, words)
def test_statistics_of_categories_equal_scipy(these: list[str], those: list[str]) -> None:
    row = drift_row(these, those, "category")
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


def test_statistics_of_categories_equal_a_hand_calculation() -> None:
    """Shares 3/4, 1/4, 0 and 1/4, 1/4, 1/2 of four rows each."""
    row = drift_row(["a", "a", "a", "b"], ["a", "b", "c", "c"], "category")
    assert row["tv_distance"] == pytest.approx(0.5)
    assert row["l_infinity_distance"] == pytest.approx(0.5)
    assert row["chi_squared_test"]["statistic"] == pytest.approx(1 + 0 + 2)


@pytest.mark.parametrize("kind", ["number", "category", "text"])
def test_equal_shares_have_zero_distance_and_p_value_one(kind: Kind) -> None:
    sample: list[Any] = [0.1, 0.2, 0.2, 7.3] if kind == "number" else ["a", "bb", "bb", "c"]
    row = drift_row(sample * 3, sample, kind)
    found = [row[name] for name in TESTS if row[name] is not None]
    assert found == [
        {"statistic": 0.0, "pvalue": 1.0} if isinstance(each, dict) else 0.0 for each in found
    ]
    assert len(found) == (4 if kind == "category" else 3)


@pytest.mark.parametrize("seed", range(4))  # rounding errors of either sign
def test_equal_shares_have_zero_distance_despite_rounding(seed: int) -> None:
    sample = np.round(np.random.default_rng(seed).lognormal(4, 1, 900), 3).tolist()
    row = drift_row(sample * 7, sample)
    assert [row[name] for name in OF_NUMBERS] == [{"statistic": 0.0, "pvalue": 1.0}, 0.0, 0.0]


DEGENERATE: list[Any] = [
    *[([value] * n, [value] * m)
      for value in ("a", 3.0) for n, m in itertools.product(SIZES, SIZES)],
    *[([value] * n, [other] * m)
      for value, other in (("a", "b"), (1.0, 2.0), (-1e12, 1e12), (0.0, 1e-3))
      for n, m in itertools.product(SIZES, SIZES)],
    *[(list("abc"[:n]), list("xyz"[:m])) for n, m in itertools.product((1, 2, 3), (1, 2, 3))],
    *[(["a"] * n, ["a"] * (n - 1) + ["b"]) for n in SIZES],
    *[([str(one) for one in range(n)], [str(one) for one in range(m)])
      for n, m in ((1, 2), (7, 7), (300, 40), (300, 300))],
    *[([float(one) for one in range(n)], [0.0]) for n in (1, 2, 300)],
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:divide by zero")  # scipy's p-value of one row each
def test_degenerate_samples_have_every_figure_that_scipy_has() -> None:
    """One value, one row, one category, nothing in common."""
    for these, those in DEGENERATE:
        kind: Kind = "category" if isinstance(these[0], str) else "number"
        row = drift_row(these, those, kind)
        some = (these[:4], len(these), those[:4], len(those))
        for name in OF_CATEGORIES if kind == "category" else OF_NUMBERS:
            assert row[name] is not None, (name, some)
        if kind == "number":
            test, reference = row["ks_test"], stats.ks_2samp(these, those, method="asymp")
            expected = stats.wasserstein_distance(these, those)
            assert row["wasserstein_distance"] == pytest.approx(expected, rel=1e-9), some
        else:
            names = sorted({*these, *those})
            table = np.array([[side.count(name) for name in names] for side in (these, those)])
            test, reference = (
                row["chi_squared_test"],
                stats.chi2_contingency(table, correction=False),
            )
        assert test["statistic"] == pytest.approx(reference.statistic, abs=1e-9), some
        assert 0 <= test["pvalue"] <= 1, some
        if {*these} == {*those} and len({*these}) == 1:
            assert test == {"statistic": pytest.approx(0, abs=1e-9), "pvalue": 1.0}, some


def test_free_text_is_compared_by_length() -> None:
    row = drift_row(["a", "bb", "cccc"], ["x", "yy"], "text")
    assert row["wasserstein_distance"] == pytest.approx(
        stats.wasserstein_distance([1, 2, 4], [1, 2])
    )
    assert row["avg_delta"] == pytest.approx(7 / 3 - 1.5)
    assert row["percent_distinct_delta"] is None


@pytest.mark.parametrize("kind", ["number", "category", "text"])
@pytest.mark.parametrize("swapped", [False, True])
def test_tests_are_null_if_one_side_has_no_values(kind: Kind, swapped: bool) -> None:
    value: Any = 1.0 if kind == "number" else "a"
    values, nothing = [value, value, None, value], [None, None]
    row = drift_row(nothing, values, kind) if swapped else drift_row(values, nothing, kind)
    assert [row[name] for name in TESTS] == [None] * len(TESTS)
    assert row["avg_delta"] is None
    assert row["percent_null_delta"] == (75.0 if swapped else -75.0)
    assert row["count_delta"] == (-2 if swapped else 2)


def test_null_is_not_a_category() -> None:
    row = drift_row(["a", "b", None, None], ["a", "b"], "category")
    assert row["tv_distance"] == 0.0
    assert row["percent_null_delta"] == 50.0


def test_nan_and_infinity_are_not_drift_row() -> None:
    row = drift_row([1.0, 2.0, np.nan, np.inf], [1.0, 2.0])
    assert row["ks_test"]["statistic"] == 0.0
    assert drift_row([np.nan], [1.0])["ks_test"] is None


def test_tests_are_null_if_the_kind_of_a_column_changed() -> None:
    this = group({"one": distribution([1.0])}, records=1)
    that = group({"one": distribution(["1"], "category")}, records=1)
    row = drift_metrics({(window(0), ALL): this}, {ALL: that}).to_pylist()[1]
    assert [row[name] for name in TESTS] == [None] * len(TESTS)
    assert row["percent_null_delta"] == 0.0
    assert row["data_type"] == "double"


def test_column_missing_on_one_side_has_a_row_without_figures() -> None:
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


def test_deltas_are_window_minus_reference() -> None:
    row = drift_row([0.0, 0.0, 1.0, None], [0.0, 2.0, 3.0, 5.0, None, None, None, None])
    assert row["count_delta"] == -4
    assert row["avg_delta"] == pytest.approx(1 / 3 - 2.5)
    assert row["percent_null_delta"] == pytest.approx(25 - 50)
    assert row["percent_zeros_delta"] == pytest.approx(50 - 12.5)
    assert row["percent_distinct_delta"] == pytest.approx(50 - 50)


def test_windows_are_compared_with_baseline_and_previous_window_of_their_segment() -> None:
    week = Window("1 week", window(0).start, window(0).start + timedelta(days=7))
    sliced = Segment("3", "gender", "Male")
    one = group({"height": distribution([1.0])}, records=1)
    days = [(window(day), ALL) for day in (3, 0, 1)]  # none on day 2
    groups = dict.fromkeys(
        [*days, (window(1), sliced), (window(1), Segment("4")), (week, ALL)], one
    )
    found = drift_metrics(groups, {ALL: one, Segment("9"): one})
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


def test_no_groups_or_no_baseline_gives_an_empty_table() -> None:
    one = group({"height": distribution([1.0])}, records=1)
    for found in (drift_metrics({}, {}), drift_metrics({(window(0), ALL): one}, {})):
        assert found.num_rows == 0
        assert found.schema.equals(DRIFT_METRICS)
    bare = drift_metrics({(window(0), ALL): group(records=3)}, {ALL: group(records=1)})
    assert bare["count_delta"].to_pylist() == [2]
    assert bare["non_null_columns_delta"].to_pylist() == [{"added": 0, "missing": 0}]


def test_drift_of_a_group_is_bitwise_independent_of_other_groups() -> None:
    base, *rest = many(1)
    of = {(window(2 * day), ALL): each for day, each in enumerate(rest)}
    together = drift_metrics(of, {ALL: base})
    assert drift_metrics(dict(reversed(of.items())), {ALL: base}).equals(together)
    alone = [drift_metrics({key: each}, {ALL: base}) for key, each in of.items()]
    assert pa.concat_tables(alone).equals(together)


def test_large_samples_equal_scipy() -> None:
    generator = np.random.default_rng(4)
    these = np.round(generator.normal(178, 10, 30_000), 3).tolist()
    those = np.round(generator.normal(178.2, 10, 20_000), 3).tolist()
    row = drift_row(these, those)
    reference = stats.ks_2samp(these, those, method="asymp")
    assert row["ks_test"]["statistic"] == pytest.approx(reference.statistic, abs=1e-12)
    assert row["ks_test"]["pvalue"] == pytest.approx(reference.pvalue, rel=0.01)
    assert row["wasserstein_distance"] == pytest.approx(
        stats.wasserstein_distance(these, those), rel=1e-9
    )
