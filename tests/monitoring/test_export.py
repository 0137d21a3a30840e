"""Samples of the newest windows, and their text as Prometheus' own parser reads it."""

import math
import os
import shutil
import subprocess
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from support.exported_metrics import DAY, NOW, START, key, labelled, row, tell, values, window

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.export import (
    ALERTS,
    DROPPED,
    FAMILIES,
    RUN,
    Exported,
    Family,
    Sample,
    render,
)
from marvel_kedro.monitoring.options import ExportingOptions

HEALTH = {
    "served_entity_name": "champion",
    "requests": 100,
    "answered": 90,
    "refused": 5,
    "throttled": 3,
    "failed": 2,
    "unread": 1,
    "records": 150,
    "labelled": 40,
    "latency_p50_ms": 4.0,
    "latency_p95_ms": 12.5,
    "latency_p99_ms": 250.0,
}
ESTIMATE = {"metric": "roc_auc", "estimate": 0.8, "low": 0.75, "high": 0.85}
NUMBER = {
    "column_name": "height",
    "population_stability_index": 0.3,
    "ks_test": {"statistic": 0.2, "pvalue": 0.01},
}


def drift(day: float, **fields: Any) -> dict[str, Any]:
    return row(day, drift_type="BASELINE", **NUMBER) | fields


def profile(day: float, **fields: Any) -> dict[str, Any]:
    return row(day, log_type="INPUT", column_name="height") | fields


def read(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """What Prometheus' own client reads."""
    found = [
        ((sample.name, frozenset(sample.labels.items())), sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    ]
    assert len(dict(found)) == len(found), "a series is there twice"
    return dict(found)


def everything() -> Exported:
    """Something of every family."""
    return tell(
        health=[row(2, **HEALTH)],
        profile=[
            profile(2, percent_null=12.5, avg=1.8, distinct_count=7),
            labelled(2, 80, 40),
            labelled(None, 90, 10),
        ],
        drift=[drift(2), drift(2, drift_type="CONSECUTIVE")],
        estimates=[row(2, **ESTIMATE)],
        alerts=[{"rule": "input_drift", "severity": "warning", "state": "open"}],
    )


def test_every_family_has_a_sample_in_the_order_of_the_families() -> None:
    named = list(dict.fromkeys(sample.family for sample in everything().samples))
    assert named == list(FAMILIES)


def test_the_text_is_what_prometheus_reads() -> None:
    exported = everything()
    assert read(render(exported)) == {key(sample): sample.value for sample in exported.samples}
    families = {one.name: one for one in text_string_to_metric_families(render(exported))}
    assert len(families) == len(FAMILIES)
    for family in FAMILIES:
        assert families[family.name].documentation == family.meaning
        assert families[family.name].type == "gauge"


@example(labels=('a"b', "c\\n\nd"), value=-0.0, meaning="two\nlines")
@example(labels=("", "{}"), value=5e-324, meaning="a # of \\")
@given(
    labels=st.tuples(st.text(), st.text()),
    value=st.floats(allow_nan=False),
    meaning=st.text(min_size=1).filter(lambda text: text == text.strip()),
)
def test_any_name_and_any_number_come_back(
    labels: tuple[str, str], value: float, meaning: str
) -> None:
    family = Family("marvel_monitoring_any", meaning, ("one", "other"))
    text = render(Exported(NOW, (Sample(family, labels, value),)))
    found = read(text)
    series = key(Sample(family, labels, value))
    assert found == {series: value}
    assert math.copysign(1, found[series]) == math.copysign(1, value)


@pytest.mark.skipif(
    shutil.which("promtool") is None and "CI" not in os.environ, reason="promtool is not installed"
)
def test_promtool_has_nothing_against_names_and_types() -> None:
    done = subprocess.run(
        ["promtool", "check", "metrics"],
        input=render(everything()), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_only_the_newest_complete_window() -> None:
    hours = timedelta(hours=1)
    exported = tell(
        health=[row(day, **HEALTH | {"records": day}) for day in range(4)]
        + [
            row(3, granularity="1 hour", **HEALTH)
            | {"window": window(3 + hour / 24, hours), "records": 1000 + hour}
            for hour in range(6)
        ]
    )
    ends = values(exported, "last_complete_window_timestamp_seconds")
    assert ends == {("1 day",): (START + 3 * DAY).timestamp(), ("1 hour",): NOW.timestamp()}
    assert values(exported, "window_length_seconds") == {("1 day",): 86400, ("1 hour",): 3600}
    assert values(exported, "records") == {
        ("1 day", "champion", "3"): 2,
        ("1 hour", "champion", "3"): 1004,
    }
    assert values(exported, "run_timestamp_seconds") == {(): NOW.timestamp()}


def test_no_older_window_stands_in_for_what_the_newest_lacks() -> None:
    exported = tell(
        health=[row(2, **HEALTH)],
        drift=[drift(1)],
        estimates=[row(1, **ESTIMATE)],
        profile=[profile(1, avg=1.8), profile(2, avg=None, percent_null=None)],
    )
    for name in ("drift", "drift_pvalue", "quality", "column_mean", "column_null_ratio"):
        assert values(exported, name) == {}, name
    assert values(exported, "records")


def test_base_units() -> None:
    exported = everything()
    entity = ("1 day", "champion", "3")
    assert values(exported, "latency_seconds") == {
        ("50", *entity): 0.004,
        ("95", *entity): 0.0125,
        ("99", *entity): 0.25,
    }
    assert values(exported, "column_null_ratio") == {("1 day", "3", "height"): 0.125}
    outcomes = values(exported, "requests")
    assert outcomes["refused", *entity] == 5
    assert sum(outcomes.values()) == HEALTH["requests"]


def test_whoever_has_no_name_has_an_empty_one() -> None:
    nobody = {"served_entity_name": None, "model_version": None, "latency_p50_ms": None}
    exported = tell(health=[row(2, **HEALTH), row(2, **HEALTH | nobody)])
    assert values(exported, "records") == {
        ("1 day", "", ""): 150,
        ("1 day", "champion", "3"): 150,
    }
    assert ("50", "1 day", "", "") not in values(exported, "latency_seconds")


def test_drift_by_column_statistic_and_comparison() -> None:
    category = {
        "column_name": "gender",
        "population_stability_index": None,
        "ks_test": None,
        "js_distance": 0.1,
        "chi_squared_test": {"statistic": 7.5, "pvalue": 0.2},
    }
    exported = tell(
        drift=[
            drift(2),
            drift(2, **category),
            drift(2, drift_type="CONSECUTIVE", wasserstein_distance=0.0),
            drift(2, column_name=tables.TABLE),
        ]
    )
    baseline, before = ("BASELINE", "1 day", "3"), ("CONSECUTIVE", "1 day", "3")
    assert values(exported, "drift") == {
        ("height", "population_stability_index", *baseline): 0.3,
        ("height", "ks_statistic", *baseline): 0.2,
        ("height", "population_stability_index", *before): 0.3,
        ("height", "ks_statistic", *before): 0.2,
        ("height", "wasserstein_distance", *before): 0.0,
        ("gender", "js_distance", *baseline): 0.1,
        ("gender", "chi_squared_statistic", *baseline): 7.5,
    }
    assert values(exported, "drift_pvalue") == {
        ("height", "ks", *baseline): 0.01,
        ("height", "ks", *before): 0.01,
        ("gender", "chi_squared", *baseline): 0.2,
    }


def test_labels_speak_of_the_newest_window_that_has_enough_of_them() -> None:
    exported = tell(
        profile=[
            labelled(0, 90, 10),
            labelled(1, 80, 20),
            labelled(2, 9, 1),
            labelled(3, 500, 0),  # not complete
            labelled(0, 60, 40, model_version="4"),
            profile(2, column_name=tables.TABLE, model_version="4"),
            labelled(1, 70, 30, model_version="1"),  # nobody asks it any more
            labelled(None, 95, 5),
            labelled(None, 10, 90, slice_key="gender", slice_value="Male"),
        ],
        estimates=[row(2, **ESTIMATE), row(1, **ESTIMATE | {"estimate": 0.1})],
    )
    assert values(exported, "quality") == {
        ("accuracy", "realised", "1 day", "3"): 0.8,
        ("accuracy", "baseline", "1 day", "3"): 0.95,
        ("accuracy", "realised", "1 day", "4"): 0.6,
        ("roc_auc", "estimate", "1 day", "3"): 0.8,
        ("roc_auc", "estimate_low", "1 day", "3"): 0.75,
        ("roc_auc", "estimate_high", "1 day", "3"): 0.85,
    }
    assert values(exported, "last_labelled_window_timestamp_seconds") == {
        ("1 day", "3"): (START + 2 * DAY).timestamp(),
        ("1 day", "4"): (START + 1 * DAY).timestamp(),
    }
    fewer = tell(options=ExportingOptions(min_labelled=10), profile=[labelled(2, 9, 1)])
    assert values(fewer, "quality") == {("accuracy", "realised", "1 day", "3"): 0.9}


def test_averages_of_quality_are_those_weighted_by_class() -> None:
    averaged = {"one_vs_all": [("Alive", 0.1)], "macro": 0.2}
    exported = tell(
        profile=[
            labelled(
                2, 80, 40, log_loss=0.5,
                precision=averaged | {"weighted": 0.3},
                recall=averaged | {"weighted": 0.4},
                f1_score=averaged | {"weighted": 0.6},
                roc_auc_score={"one_vs_one": {"weighted": 0.7}},
            )
        ]
    )  # fmt: skip
    assert values(exported, "quality") == {
        (metric, "realised", "1 day", "3"): value
        for metric, value in {
            "accuracy": 80 / 120, "log_loss": 0.5, "precision": 0.3, "recall": 0.4,
            "f1_score": 0.6, "roc_auc": 0.7,
        }.items()
    }  # fmt: skip


def test_slices_stay_in_the_tables() -> None:
    slice_ = {"slice_key": "gender", "slice_value": "Male"}
    exported = tell(
        profile=[profile(2, avg=1.0, **slice_), labelled(2, 80, 40, **slice_)],
        drift=[drift(2, **slice_)],
        estimates=[row(2, **ESTIMATE | slice_)],
    )
    assert {sample.family for sample in exported.samples} == {RUN, DROPPED, ALERTS}


def test_alerts_that_are_not_resolved_from_zero_on() -> None:
    states = ("open", "open", "acknowledged", "silenced", "resolved")
    found = [{"rule": "input_drift", "severity": "warning", "state": state} for state in states]
    found.append({"rule": "errors", "severity": "critical", "state": "resolved"})
    exported = tell(alerts=found)
    counted = values(exported, "alerts")
    assert {labels: number for labels, number in counted.items() if number} == {
        ("warning", "open"): 2,
        ("warning", "acknowledged"): 1,
        ("warning", "silenced"): 1,
    }
    assert len(counted) == 9
    assert values(exported, "alerts_open") == {("input_drift", "warning"): 2}
    assert set(values(tell(), "alerts").values()) == {0}


def test_as_many_series_whatever_the_number_of_windows() -> None:
    def series(days: int) -> set[Any]:
        numbers = range(3 - days, 3)
        return {
            key(sample)
            for sample in tell(
                health=[row(day, **HEALTH) for day in numbers],
                drift=[drift(day) for day in numbers],
                profile=[labelled(day, 80, 40) for day in numbers],
            ).samples
        }

    assert series(1) == series(100)


def test_what_is_too_much_is_counted_and_the_least_is_left_out() -> None:
    columns = [f"column_{number}" for number in range(500)]
    exported = tell(
        options=ExportingOptions(max_series=300, min_labelled=100),
        health=[row(2, **HEALTH)],
        drift=[drift(2, column_name=name) for name in columns],
        profile=[profile(2, column_name=name, avg=1.0) for name in columns],
    )
    assert len(exported.samples) == 300
    whole = 2 + 9 + 2 + 4 + 3 + 3 + 3 * 500 + 500
    assert values(exported, "dropped_series") == {(): whole - 300}
    assert values(exported, "records")
    assert not values(exported, "column_mean")


def test_figures_that_are_none_or_infinite() -> None:
    exported = tell(
        drift=[drift(2, population_stability_index=math.nan, wasserstein_distance=math.inf)],
        profile=[labelled(2, 80, 40, log_loss=math.inf)],
    )
    drifts = values(exported, "drift")
    assert ("height", "population_stability_index", "BASELINE", "1 day", "3") not in drifts
    assert drifts["height", "wasserstein_distance", "BASELINE", "1 day", "3"] == math.inf
    assert 'log_loss",source="realised",granularity="1 day",model_version="3"} +Inf' in render(
        exported
    )


def test_rows_that_are_there_twice_are_one_series() -> None:
    exported = tell(drift=[drift(2), drift(2, population_stability_index=0.4, monitor_version=1)])
    assert len(read(render(exported))) == len(exported.samples)
