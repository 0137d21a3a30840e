"""Samples of the newest windows."""

import math
from datetime import timedelta
from typing import Any

from support.exported_metrics import (
    DAY,
    ESTIMATE,
    HEALTH,
    NOW,
    START,
    drift,
    every_family,
    export_rows,
    key,
    labelled,
    profile,
    row,
    values,
    window,
)

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.export import DROPPED, FAMILIES, RUN
from marvel_kedro.monitoring.options import ExportingOptions


def test_every_family_has_samples_in_the_order_of_the_families() -> None:
    families = list(dict.fromkeys(sample.family for sample in every_family().samples))
    assert families == list(FAMILIES)


def test_only_the_newest_complete_window_is_exported() -> None:
    hours = timedelta(hours=1)
    exported = export_rows(
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


def test_figure_missing_in_the_newest_window_is_not_taken_from_an_older_one() -> None:
    exported = export_rows(
        health=[row(2, **HEALTH)],
        drift=[drift(1)],
        estimates=[row(1, **ESTIMATE)],
        profile=[profile(1, avg=1.8), profile(2, avg=None, percent_null=None)],
    )
    for name in ("drift", "drift_pvalue", "quality", "column_mean", "column_null_ratio"):
        assert values(exported, name) == {}, name
    assert values(exported, "records")


def test_values_are_in_base_units() -> None:
    exported = every_family()
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


def test_missing_entity_and_version_are_empty_labels() -> None:
    unnamed = {"served_entity_name": None, "model_version": None, "latency_p50_ms": None}
    exported = export_rows(health=[row(2, **HEALTH), row(2, **HEALTH | unnamed)])
    assert values(exported, "records") == {
        ("1 day", "", ""): 150,
        ("1 day", "champion", "3"): 150,
    }
    assert ("50", "1 day", "", "") not in values(exported, "latency_seconds")


def test_drift_is_labelled_by_column_statistic_and_comparison() -> None:
    category = {
        "column_name": "gender",
        "population_stability_index": None,
        "ks_test": None,
        "js_distance": 0.1,
        "chi_squared_test": {"statistic": 7.5, "pvalue": 0.2},
    }
    exported = export_rows(
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


def test_realised_performance_is_of_the_newest_window_with_enough_labels() -> None:
    exported = export_rows(
        profile=[
            labelled(0, 90, 10),
            labelled(1, 80, 20),
            labelled(2, 9, 1),
            labelled(3, 500, 0),  # incomplete
            labelled(0, 60, 40, model_version="4"),
            profile(2, column_name=tables.TABLE, model_version="4"),
            labelled(1, 70, 30, model_version="1"),  # no longer served
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
    fewer = export_rows(options=ExportingOptions(min_labelled=10), profile=[labelled(2, 9, 1)])
    assert values(fewer, "quality") == {("accuracy", "realised", "1 day", "3"): 0.9}


def test_realised_averages_are_weighted_by_class() -> None:
    averages = {"one_vs_all": [("Alive", 0.1)], "macro": 0.2}
    exported = export_rows(
        profile=[
            labelled(
                2, 80, 40, log_loss=0.5,
                precision=averages | {"weighted": 0.3},
                recall=averages | {"weighted": 0.4},
                f1_score=averages | {"weighted": 0.6},
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


def test_slices_are_not_exported() -> None:
    slice_ = {"slice_key": "gender", "slice_value": "Male"}
    exported = export_rows(
        profile=[profile(2, avg=1.0, **slice_), labelled(2, 80, 40, **slice_)],
        drift=[drift(2, **slice_)],
        estimates=[row(2, **ESTIMATE | slice_)],
    )
    names = {sample.family.name for sample in exported.samples}
    assert names == {RUN.name, DROPPED.name, "marvel_monitoring_alerts"}


def test_unresolved_alerts_are_counted_with_zeros() -> None:
    states = ("open", "open", "acknowledged", "silenced", "resolved")
    about = {"rule": "input_drift", "severity": "warning", "model_version": "2"}
    found: list[dict[str, Any]] = [about | {"state": state} for state in states]
    found.append({"rule": "errors", "severity": "critical", "state": "resolved"})
    exported = export_rows(alerts=found)
    counted = values(exported, "alerts")
    assert {labels: number for labels, number in counted.items() if number} == {
        ("warning", "open"): 2,
        ("warning", "acknowledged"): 1,
        ("warning", "silenced"): 1,
    }
    assert len(counted) == 9
    assert values(exported, "alerts_open") == {("input_drift", "warning", "2"): 2}
    assert set(values(export_rows(), "alerts").values()) == {0}


def test_number_of_series_does_not_grow_with_windows() -> None:
    def series(days: int) -> set[Any]:
        numbers = range(3 - days, 3)
        return {
            key(sample)
            for sample in export_rows(
                health=[row(day, **HEALTH) for day in numbers],
                drift=[drift(day) for day in numbers],
                profile=[labelled(day, 80, 40) for day in numbers],
            ).samples
        }

    assert series(1) == series(100)


def test_samples_above_max_series_are_dropped_and_counted() -> None:
    columns = [f"column_{number}" for number in range(500)]
    exported = export_rows(
        options=ExportingOptions(max_series=300, min_labelled=100),
        health=[row(2, **HEALTH)],
        drift=[drift(2, column_name=name) for name in columns],
        profile=[profile(2, column_name=name, avg=1.0) for name in columns],
    )
    assert len(exported.samples) == 300
    total = 2 + 9 + 2 + 4 + 3 + 3 + 3 * 500 + 500
    assert values(exported, "dropped_series") == {(): total - 300}
    assert values(exported, "records")
    assert not values(exported, "column_mean")


def test_nan_is_not_exported_and_infinity_is() -> None:
    found = drift(2, population_stability_index=math.nan, wasserstein_distance=math.inf)
    drifts = values(export_rows(drift=[found]), "drift")
    assert ("height", "population_stability_index", "BASELINE", "1 day", "3") not in drifts
    assert drifts["height", "wasserstein_distance", "BASELINE", "1 day", "3"] == math.inf
