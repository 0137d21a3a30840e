"""Column profiles, compared with NumPy and pandas on the counted rows."""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.samples import ALL, CLASSES, distribution, group, many, window

from marvel_kedro.monitoring.aggregation.value_counts import Distribution, Segment
from marvel_kedro.monitoring.metrics.profile import FREQUENT_ITEMS, profile_metrics
from marvel_kedro.monitoring.tables import PROFILE_METRICS, TABLE

NUMBERS = ["avg", "stddev", "min", "max", "median", "quantiles", "num_zeros", "num_nan"]
NUMBERS += ["percent_nan", "percent_zeros"]
LENGTHS = ["min_length", "max_length", "avg_length"]
numbers = st.one_of(
    st.integers(-5, 5).map(float), st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
)


def profile_of(column: Distribution) -> dict[str, Any]:
    """Return the profile of the only column of the only window."""
    found = profile_metrics({(window(0), ALL): group({"one": column}, records=1)}, {}, CLASSES)
    assert found.schema.equals(PROFILE_METRICS)
    table, row = found.to_pylist()
    assert (table["column_name"], row["column_name"]) == (TABLE, "one")
    return row


@given(st.lists(numbers, min_size=1, max_size=40), st.integers(0, 3), st.integers(0, 3))
def test_figures_of_numbers_equal_numpy(sample: list[float], nulls: int, nans: int) -> None:
    row = profile_of(distribution([*sample, *[None] * nulls, *[np.nan] * nans]))
    count = len(sample) + nulls + nans
    assert row["avg"] == pytest.approx(np.mean(sample), abs=1e-9)
    assert (row["min"], row["max"]) == (min(sample), max(sample))
    assert row["median"] == pytest.approx(np.median(sample), abs=1e-9)
    expected = np.quantile(sample, np.linspace(0, 1, 101))
    assert row["quantiles"] == pytest.approx(expected.tolist(), rel=1e-9, abs=1e-9)
    if len(sample) > 1:
        assert row["stddev"] == pytest.approx(np.std(sample, ddof=1), rel=1e-9, abs=1e-9)
    else:
        assert row["stddev"] is None
    zeros = sum(value == 0 for value in sample)
    found = [row[name] for name in ("count", "num_nulls", "num_nan", "num_zeros")]
    assert found == [count, nulls, nans, zeros]
    distinct = len(set(sample))
    assert row["distinct_count"] == distinct
    assert [row[f"percent_{name}"] for name in ("null", "nan", "zeros", "distinct")] == (
        pytest.approx([100 * rows / count for rows in (nulls, nans, zeros, distinct)])
    )
    assert row["data_type"] == "double"
    assert [row[name] for name in (*LENGTHS, "frequent_items")] == [None] * 4


@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=4), min_size=1),
    st.integers(0, 3),
)
def test_figures_of_categories_equal_a_count(sample: list[str], nulls: int) -> None:
    row = profile_of(distribution([*sample, *[None] * nulls], "category"))
    lengths = [len(text) for text in sample]
    assert [row[name] for name in LENGTHS] == pytest.approx(
        [min(lengths), max(lengths), np.mean(lengths)]
    )
    ranked = sorted(Counter(sample).items(), key=lambda item: (-item[1], item[0]))
    assert [(each["item"], each["count"]) for each in row["frequent_items"]] == ranked
    assert (row["distinct_count"], row["num_nulls"]) == (len(ranked), nulls)
    assert row["data_type"] == "string"
    assert [row[name] for name in NUMBERS] == [None] * len(NUMBERS)


def test_frequent_items_are_limited_with_ties_by_name() -> None:
    names = [f"{number:03}" for number in range(FREQUENT_ITEMS + 20)]
    row = profile_of(distribution([*names, "119"], "category"))
    items = [each["item"] for each in row["frequent_items"]]
    assert items == ["119", *names[: FREQUENT_ITEMS - 1]]
    assert row["distinct_count"] == len(names)


def test_free_text_has_lengths_only() -> None:
    row = profile_of(distribution(["Ann", "Bobby", None, "Cy", "Deb"], "text"))
    assert [row[name] for name in LENGTHS] == pytest.approx([2, 5, 13 / 4])
    assert row["percent_null"] == pytest.approx(20)
    absent = [*NUMBERS, "distinct_count", "frequent_items", "percent_distinct"]
    assert [row[name] for name in absent] == [None] * len(absent)
    assert row["data_type"] == "string"


def test_sample_deviation_and_quantiles_equal_a_hand_calculation() -> None:
    """2, 4, 4, 4, 5, 5, 7, 9: squared deviations of 32, 7 degrees of freedom."""
    row = profile_of(distribution([2.0, 4, 4, 4, 5, 5, 7, 9]))
    assert row["stddev"] == pytest.approx((32 / 7) ** 0.5)
    assert (row["avg"], row["median"]) == (5.0, 4.5)
    assert row["quantiles"][25] == pytest.approx(4.0)
    assert row["quantiles"][90] == pytest.approx(7.6)  # at place 6.3: 0.3 from 7 to 9


@pytest.mark.parametrize("kind", ["number", "text", "category"])
def test_figures_without_values_are_null_not_zero(kind: Any) -> None:
    row = profile_of(distribution([None, None], kind))
    figures = [*NUMBERS[:6], *LENGTHS]
    assert [row[name] for name in figures] == [None] * len(figures)
    assert (row["count"], row["num_nulls"], row["percent_null"]) == (2, 2, 100.0)
    nothing = profile_of(distribution([], kind))
    assert nothing["count"] == 0
    assert nothing["percent_null"] is None
    assert nothing["percent_distinct"] is None


def test_infinite_numbers_count_as_nan() -> None:
    row = profile_of(distribution([1.0, np.inf, np.nan, 3.0]))
    assert (row["avg"], row["max"], row["num_nan"], row["percent_nan"]) == (2.0, 3.0, 2, 50.0)


def test_rows_are_ordered_by_window_segment_and_column() -> None:
    height, origin = distribution([1.0]), distribution(["Human"], "category")
    empty = distribution([None])
    groups = {
        (window(1), ALL): group({"origin": origin, "height": empty}, records=1),
        (window(0), Segment("3", "gender", "Male")): group({"height": height}, records=4),
        (window(0), ALL): group({"height": height, "weight": distribution([np.nan])}, records=7),
    }
    found = profile_metrics(groups, {ALL: group({"height": height}, records=9)}, CLASSES)
    names = ["log_type", "slice_value", "column_name", "count", "non_null_columns"]
    assert [list(row.values()) for row in found.select(names).to_pylist()] == [
        ["BASELINE", None, TABLE, 9, ["height"]],
        ["BASELINE", None, "height", 1, None],
        ["INPUT", None, TABLE, 7, ["height", "weight"]],
        ["INPUT", None, "height", 1, None],
        ["INPUT", None, "weight", 1, None],
        ["INPUT", "Male", TABLE, 4, ["height"]],
        ["INPUT", "Male", "height", 1, None],
        ["INPUT", None, TABLE, 1, ["origin"]],
        ["INPUT", None, "height", 1, None],
        ["INPUT", None, "origin", 1, None],
    ]
    first, *_, last = found.to_pylist()
    assert (first["window"], first["granularity"]) == (None, None)
    assert last["window"] == {"start": window(1).start, "end": window(1).end}
    assert (last["granularity"], last["model_version"]) == ("1 day", "3")
    assert set(found["monitor_version"].to_pylist()) == {0}
    assert found["logging_table_commit_version"].null_count == len(found)


def test_no_groups_give_an_empty_table() -> None:
    found = profile_metrics({}, {}, CLASSES)
    assert found.num_rows == 0
    assert found.schema.equals(PROFILE_METRICS)
    no_column = profile_metrics({(window(0), ALL): group(records=3)}, {}, CLASSES)
    assert no_column["non_null_columns"].to_pylist() == [[]]


def test_profile_of_a_group_is_bitwise_independent_of_other_groups() -> None:
    of = {(window(day), ALL): each for day, each in enumerate(many(0))}
    together = profile_metrics(of, {}, CLASSES)
    assert profile_metrics(dict(reversed(of.items())), {}, CLASSES).equals(together)
    alone = [profile_metrics({key: each}, {}, CLASSES) for key, each in of.items()]
    assert pa.concat_tables(alone).equals(together)


def test_figures_of_a_large_sample_equal_pandas() -> None:
    generator = np.random.default_rng(5)
    sample = pd.Series(np.round(generator.normal(0, 3, 50_000), 3))
    row = profile_of(distribution(sample.tolist()))
    assert row["stddev"] == pytest.approx(sample.std(), rel=1e-12)
    assert row["quantiles"][37] == pytest.approx(sample.quantile(0.37), rel=1e-12)
    assert row["num_zeros"] == (sample == 0).sum()
