"""Counting on DuckDB, held against counting by hand in pandas."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring.aggregation import counting, windows
from marvel_kedro.monitoring.aggregation.value_counts import Part, Window
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.local_engine import relation

START = datetime(2026, 3, 27, tzinfo=UTC)  # clocks in Europe jump on the 29th

OPTIONS = MonitoringOptions(
    now=START,
    granularities=("1 hour", "1 day", "1 week"),
    slices=("gender", "universe = 'Earth-616'"),
    columns={"name": "text", "universe": "category", "height": "number", "probability": "number"},
)


def made_log(rows: int = 3000, seed: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    probability = generator.random(rows)
    return pa.table(
        {
            "request_time": pa.array(
                [START + timedelta(seconds=int(s)) for s in generator.integers(0, 6 * 86400, rows)],
                pa.timestamp("us", "UTC"),
            ),
            "model_version": [["1", "2"][i] for i in generator.integers(0, 2, rows)],
            "name": [["Ann", "Bob é", "", None][i] for i in generator.integers(0, 4, rows)],
            "universe": [["Earth-616", "é", None][i] for i in generator.integers(0, 3, rows)],
            "gender": [["Male", "Female", None][i] for i in generator.integers(0, 3, rows)],
            "height": pa.array(
                [[1.2345, 1.8, float("nan"), float("inf"), None, 1e300, -0.0][i]
                 for i in generator.integers(0, 7, rows)], pa.float64()),
            "prediction": ["Alive" if p >= 0.5 else "Dead" for p in probability],
            "probability": probability,
            "alive": [["Alive", "Dead", None][i] for i in generator.integers(0, 3, rows)],
        }
    )  # fmt: skip


def test_counts_are_those_of_pandas() -> None:
    log = made_log()
    found = counting.groups(counting.count(relation(log), OPTIONS), OPTIONS.granularities, OPTIONS)
    rows = pd.DataFrame(log.to_pylist())  # nan and None stay apart
    checked = 0
    for (window, part), group in found.items():
        mine = rows[(rows["request_time"] >= window.start) & (rows["request_time"] < window.end)]
        mine = mine[mine["model_version"] == part.model_version]
        if part.slice_key == "gender":
            mine = mine[mine["gender"] == part.slice_value]
        elif part.slice_key:
            mine = mine[mine["universe"].notna()]
            mine = mine[(mine["universe"] == "Earth-616") == (part.slice_value == "true")]
        assert group.records == len(mine)
        universe = group.columns["universe"]
        wanted = mine["universe"].value_counts().sort_index()
        assert list(universe.values) == list(wanted.index)
        assert list(universe.rows) == list(wanted)
        assert universe.nulls == mine["universe"].isna().sum()
        height = group.columns["height"]
        said = log["height"].take(pa.array(mine.index, pa.int64())).to_pylist()
        numbers = [value for value in said if value is not None]
        assert height.nulls == said.count(None)
        assert height.nans == sum(not np.isfinite(value) for value in numbers)
        expected = pd.Series(
            [{1.2345: 1.235, 1e300: 1e12}.get(v, v) + 0.0 for v in numbers if np.isfinite(v)],
            dtype="float64",
        ).value_counts().sort_index()  # fmt: skip
        assert list(height.values) == list(expected.index)
        assert list(height.rows) == list(expected)
        lengths = group.columns["name"]
        assert set(lengths.values) <= {0.0, 3.0, 5.0}
        assert lengths.count == len(mine)
        scored = group.scored
        assert scored.rows[scored.labelled].sum() == mine["alive"].notna().sum()
        assert scored.rows[scored.alive].sum() == (mine["alive"] == "Alive").sum()
        assert scored.rows[scored.predicted].sum() == (mine["prediction"] == "Alive").sum()
        assert np.average(scored.probability, weights=scored.rows) == pytest.approx(
            mine["probability"].mean(), abs=5e-5
        )
        checked += 1
    assert checked > 1000
    everything = [
        g.records for (w, p), g in found.items() if w.granularity == "1 day" and not p.slice_key
    ]
    assert sum(everything) == len(log)


def test_order_of_arrival_does_not_matter() -> None:
    log = made_log()
    shuffled = log.take(np.random.default_rng(1).permutation(len(log)))
    first, second = (
        counting.groups(counting.count(relation(table), OPTIONS), ("1 day",), OPTIONS)
        for table in (log, shuffled)
    )
    assert list(first) == list(second)
    for key, group in first.items():
        for name, distribution in group.columns.items():
            assert list(distribution.values) == list(second[key].columns[name].values)
            assert distribution.rows.tolist() == second[key].columns[name].rows.tolist()


def test_no_records() -> None:
    counted = counting.count(relation(made_log().slice(0, 0)), OPTIONS)
    assert counting.groups(counted, OPTIONS.granularities, OPTIONS) == {}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"columns": {"strength": "number"}}, "no column strength"),
        ({"columns": {"universe": "number"}}, "universe is to be a number"),
        ({"columns": {"height": "category"}}, "height is to be a category"),
        ({"slices": ("strength > 3",)}, "cannot read 'strength > 3'"),
        ({"slices": ("height",), "max_slice_values": 2}, "'height' has"),
        ({"max_cells": 700}, "936 of them in the column universe"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted(changed: dict[str, object], said: str) -> None:
    options = OPTIONS.model_copy(update=changed)
    with pytest.raises(ProjectError, match="monitoring") as refusal:
        counting.count(relation(made_log(500)), options)
    assert said in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "kind"), [("probability", "number"), ("gender", "category"), ("name", "text")]
)
def test_columns_of_one_kind_alone(name: str, kind: str) -> None:
    options = MonitoringOptions.model_validate({"now": START, "columns": {name: kind}})
    found = counting.groups(counting.count(relation(made_log(50)), options), ("1 week",), options)
    assert {tuple(group.columns) for group in found.values()} == {(name,)}


def test_what_the_baseline_lacks_has_no_baseline() -> None:
    """Such as who answered, and how long that took."""
    baseline = relation(made_log(50).drop_columns(["request_time", "gender", "height"]))
    found = counting.count_baseline(baseline, OPTIONS)
    assert {part.slice_key for part in found} == {None, "universe = 'Earth-616'"}
    assert {tuple(group.columns) for group in found.values()} == {
        ("name", "universe", "probability")
    }


def test_windows() -> None:
    moment = datetime(2026, 3, 29, 23, 59, tzinfo=UTC)  # a Sunday
    names = {g: windows.window_at(g, moment) for g in windows.GRANULARITIES}
    assert names["5 minutes"].start == datetime(2026, 3, 29, 23, 55, tzinfo=UTC)
    assert names["1 day"].end == datetime(2026, 3, 30, tzinfo=UTC)
    assert names["1 week"].start == datetime(2026, 3, 23, tzinfo=UTC)
    assert names["1 month"] == Window(
        "1 month", datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
    )
    assert names["1 year"].end == datetime(2027, 1, 1, tzinfo=UTC)
    for window in names.values():
        assert window.start <= moment < window.end
        assert windows.before(windows.after(window)) == window
        assert windows.before(window).end == window.start
    week = windows.windows_of([date(2026, 3, 29)], ["1 week"])
    assert windows.days_of(week) == {date(2026, 3, 23) + timedelta(days=n) for n in range(7)}
    assert len(windows.windows_of([date(2026, 3, 29)], ["1 hour"])) == 24


def test_parts_are_apart() -> None:
    found = counting.groups(counting.count(relation(made_log()), OPTIONS), ("1 week",), OPTIONS)
    parts = {part for _, part in found}
    assert Part("1") in parts
    assert Part("2", "gender", "Male") in parts
    assert Part("2", "universe = 'Earth-616'", "false") in parts
