"""Counts by window and segment on DuckDB, compared with pandas."""

import pickle
from collections import Counter
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support.random_log import OPTIONS, START, make_log
from support.table import TABLE

from marvel_kedro.monitoring.aggregation.grouping import aggregate, aggregate_baseline
from marvel_kedro.monitoring.aggregation.limits import OTHERS
from marvel_kedro.monitoring.aggregation.value_counts import Segment
from marvel_kedro.monitoring.aggregation.windows import Granularity
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.local_engine import relation

WEEKLY = OPTIONS.model_copy(update={"granularities": ("1 week",)})


def test_counts_of_every_window_and_segment_equal_those_of_pandas() -> None:
    log = make_log()
    found = aggregate(relation(log), OPTIONS, TABLE.target)
    rows = pd.DataFrame(log.to_pylist())  # keeps NaN and None apart
    checked = 0
    for (window, segment), group in found.items():
        mine = rows[(rows["request_time"] >= window.start) & (rows["request_time"] < window.end)]
        mine = mine[mine["model_version"] == segment.model_version]
        if segment.slice_key == "gender":
            mine = mine[mine["gender"] == segment.slice_value]
        elif segment.slice_key:
            mine = mine[mine["universe"].notna()]
            mine = mine[(mine["universe"] == "Earth-616") == (segment.slice_value == "true")]
        assert group.records == len(mine)
        universe = group.columns["universe"]
        counted = mine["universe"].value_counts().sort_index()
        assert list(universe.values) == list(counted.index)
        assert list(universe.rows) == list(counted)
        assert universe.nulls == mine["universe"].isna().sum()
        height = group.columns["height"]
        heights = log["height"].take(pa.array(mine.index, pa.int64())).to_pylist()
        numbers = [value for value in heights if value is not None]
        assert height.nulls == heights.count(None)
        assert height.nans == sum(not np.isfinite(value) for value in numbers)
        finite = [value + 0.0 for value in numbers if np.isfinite(value)]
        expected = pd.Series(finite, dtype="float64").value_counts().sort_index()
        assert list(height.values) == list(expected.index)
        assert list(height.rows) == list(expected)
        lengths = group.columns["name"]
        assert set(lengths.values) <= {0.0, 3.0, 5.0}
        assert lengths.rows.sum() + lengths.nulls + lengths.nans == len(mine)
        scored = group.scored
        assert scored.rows[scored.labelled].sum() == mine["alive"].notna().sum()
        assert scored.rows[scored.positive].sum() == (mine["alive"] == "Alive").sum()
        assert scored.rows[scored.predicted].sum() == (mine["prediction"] == "Alive").sum()
        assert np.average(scored.probability, weights=scored.rows) == pytest.approx(
            mine["probability"].mean(), abs=1e-9
        )
        checked += 1
    assert checked > 1000
    daily = [
        group.records
        for (window, segment), group in found.items()
        if window.granularity == "1 day" and not segment.slice_key
    ]
    assert sum(daily) == len(log)


def test_counts_do_not_depend_on_the_order_of_rows() -> None:
    log = make_log()
    shuffled = log.take(np.random.default_rng(1).permutation(len(log)))
    daily = OPTIONS.model_copy(update={"granularities": ("1 day",)})
    first, second = (aggregate(relation(table), daily, TABLE.target) for table in (log, shuffled))
    assert list(first) == list(second)
    for key, group in first.items():
        for name, distribution in group.columns.items():
            assert list(distribution.values) == list(second[key].columns[name].values)
            assert distribution.rows.tolist() == second[key].columns[name].rows.tolist()


def test_records_without_a_version_are_in_no_group() -> None:
    log = make_log().slice(0, 500)
    at = log.schema.get_field_index("model_version")
    without = log.set_column(at, log.schema.field(at), pa.nulls(len(log), pa.string()))
    both = aggregate(relation(pa.concat_tables([log, without])), OPTIONS, TABLE.target)
    alone = aggregate(relation(log), OPTIONS, TABLE.target)
    assert {key: group.records for key, group in both.items()} == {
        key: group.records for key, group in alone.items()
    }
    assert aggregate(relation(without), OPTIONS, TABLE.target) == {}


def test_empty_log_has_no_groups() -> None:
    assert aggregate(relation(make_log().slice(0, 0)), OPTIONS, TABLE.target) == {}


@pytest.mark.parametrize(
    ("name", "kind"), [("probability", "number"), ("gender", "category"), ("name", "text")]
)
def test_columns_of_one_kind_only_are_counted(name: str, kind: str) -> None:
    options = MonitoringOptions.model_validate(
        {"now": START, "granularities": ["1 week"], "columns": {name: kind}}
    )
    found = aggregate(relation(make_log(50)), options, TABLE.target)
    assert {tuple(group.columns) for group in found.values()} == {(name,)}


def test_baseline_skips_columns_and_slices_that_it_lacks() -> None:
    """The served entity and the duration of a request exist in the log only."""
    baseline = relation(make_log(50).drop_columns(["request_time", "gender", "height"]))
    found = aggregate_baseline(baseline, OPTIONS, TABLE.target)
    assert {segment.slice_key for segment in found} == {None, "universe = 'Earth-616'"}
    assert {tuple(group.columns) for group in found.values()} == {
        ("name", "universe", "probability")
    }


def test_versions_and_slices_are_separate_segments() -> None:
    segments = {segment for _, segment in aggregate(relation(make_log()), WEEKLY, TABLE.target)}
    assert Segment("1") in segments
    assert Segment("2", "gender", "Male") in segments
    assert Segment("2", "universe = 'Earth-616'", "false") in segments


def test_value_that_reads_like_the_joined_ones_stays_apart() -> None:
    log = make_log(300).to_pydict()
    log["gender"] = [OTHERS if row % 2 else f"rare {row}" for row in range(300)]
    changes = {"granularities": ("1 day",), "max_slice_values": 2}
    options = OPTIONS.model_copy(update=changes)
    found = aggregate(relation(pa.table(log, make_log(1).schema)), options, TABLE.target)
    sizes: Counter[str | None] = Counter()
    for (_, one), group in found.items():
        sizes[one.slice_value] += group.records
    assert sizes[f"'{OTHERS}'"] == 150
    assert 0 < sizes[OTHERS] < 150


@pytest.mark.parametrize("longest", ["1 hour", "1 week", "1 month", "1 year"])
def test_frequent_values_of_a_slice_do_not_depend_on_the_days_that_a_run_counts(
    longest: Granularity,
) -> None:
    """Each period has its own, so runs day by day measure the same as one run over all."""
    days, rows = 70, 2100
    generator = np.random.default_rng(0)
    day = np.arange(rows) % days
    log = make_log(rows).to_pydict() | {
        "request_time": [START - timedelta(days=90) + timedelta(days=int(one)) for one in day],
        "gender": [
            f"{one // 9}-{n}" for one, n in zip(day, generator.integers(0, 9, rows), strict=True)
        ],
    }
    table = pa.table(log, make_log(1).schema)
    changes = {"granularities": (longest,), "max_slice_values": 4}
    options = OPTIONS.model_copy(update=changes)
    at_once = aggregate(relation(table), options, TABLE.target)
    assert {group.records for (_, one), group in at_once.items() if one.slice_value == OTHERS}
    for window in sorted({one for one, _ in at_once if one.granularity == longest})[1::30]:
        time = pc.field("request_time")
        some = table.filter((time >= window.start) & (time < window.end))
        for key, group in aggregate(relation(some), options, TABLE.target).items():
            assert pickle.dumps(group) == pickle.dumps(at_once[key])
