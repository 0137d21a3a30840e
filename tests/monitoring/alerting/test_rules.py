"""Alert rules: validation, and the rules of conf/base."""

from typing import Any

import pyarrow as pa
import pytest
from support.alert_metrics import (
    DRIFT,
    NOW,
    SLOW,
    drift,
    drifts,
    evaluated,
    health,
    performance,
    shipped,
    table,
    window,
)

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.monitoring.alerting.rules import AlertingOptions, Table


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (DRIFT | {"metric": "js_distence"}, "there is no column 'js_distence'"),
        (DRIFT | {"metric": "ks_test.pvalue"}, "give it as `test`"),
        (DRIFT | {"records": "count"}, "in profile_metrics"),
        (DRIFT | {"estimate_of": "roc_auc"}, "estimate_of is for quality_estimates"),
        (DRIFT | {"test": "ks_test.p"}, "no 'p' in it"),
        (SLOW | {"columns": ["a"]}, "columns is for drift_metrics and profile_metrics"),
        (SLOW | {"records": "missing"}, "no column 'missing'"),
        (SLOW | {"treshold": 1}, "rules.wrong.treshold: Extra inputs"),
        ({"table": "quality_estimates", "metric": "low", "threshold": 1}, "needs estimate_of"),
        (DRIFT | {"table": "health"}, "rules.wrong.table"),
        (DRIFT | {"meaning": "the distance"}, "lacks {value}"),
        (DRIFT | {"meaning": "{values} away"}, "KeyError('values')"),
    ],
)
def test_invalid_rule_is_rejected_with_its_name_and_reason(
    rule: dict[str, Any], expected: str
) -> None:
    with pytest.raises(ProjectError, match=r"rules\.wrong") as rejected:
        validate(AlertingOptions, {"now": NOW, "rules": {"wrong": rule}}, "Correct it.")
    assert expected in str(rejected.value)


def profile(column: str) -> dict[str, Any]:
    return {
        "window": window(0),
        "log_type": "INPUT",
        "granularity": "1 day",
        "column_name": column,
        "count": 500,
        "model_version": "1",
    }


CERTAIN = {"pvalue": 1e-9}
BAD: dict[str, dict[Table, pa.Table]] = {
    "input_drift": drifts(drift(0, "origin", 0.2, chi_squared_test=CERTAIN)),
    "prediction_drift": drifts(
        drift(0, "probability", None, ks_test={"statistic": 0.2, "pvalue": 1e-9})
    ),
    "more_nulls": drifts(drift(0, "height", None, percent_null_delta=30.0)),
    "estimated_roc_auc": table("quality_estimates", performance(0, estimate=0.6, high=0.65)),
    "realised_roc_auc": table(
        "quality_estimates", *(performance(day, realised=0.65, labelled=300) for day in range(2))
    ),
    "realised_log_loss": table(
        "quality_estimates",
        *(performance(day, metric="log_loss", realised=0.75, labelled=300) for day in range(2)),
    ),
    "errors": table("health_metrics", health(98, failed=5), health(99)),
    "slow": table("health_metrics", health(99, latency_p95_ms=2000.0)),
    "unread": table("health_metrics", health(98, unread=30), health(99)),
    "no_traffic": table("health_metrics", health(98)),
}
NORMAL: dict[Table, pa.Table] = (
    drifts(
        drift(0, "origin", 0.2, chi_squared_test={"pvalue": 0.3}, percent_null_delta=1.0),
        drift(0, "height", None, ks_test={"statistic": 0.02, "pvalue": 1e-9}),
    )
    | table(
        "quality_estimates",
        *(performance(day, estimate=0.69, realised=0.66, labelled=300) for day in range(2)),
        *(performance(day, metric="log_loss", realised=0.74, labelled=300) for day in range(2)),
    )
    | table("health_metrics", health(98, latency_p95_ms=50.0, unread=0), health(99))
)


@pytest.mark.parametrize("rule", shipped().active)
def test_shipped_rule_alone_fires_on_its_failure(rule: str) -> None:
    profiles = table("profile_metrics", *map(profile, ("teams", "height", "probability")))
    assert {row["rule"] for row in evaluated(BAD[rule] | profiles, shipped())} == {rule}


def test_shipped_rules_do_not_fire_on_normal_days() -> None:
    profiles = table("profile_metrics", *map(profile, ("teams", "height")))
    assert evaluated(NORMAL | profiles, shipped()) == []


def test_small_loss_fires_with_many_labels_and_not_with_few() -> None:
    def alarmed(error: float) -> list[str]:
        days = (
            performance(day, realised=0.68, labelled=300, realised_error=error) for day in range(2)
        )
        rows = [row | {"baseline_error": 0.004} for row in days]
        return [row["rule"] for row in evaluated(table("quality_estimates", *rows), shipped())]

    assert alarmed(0.0175) == []
    assert alarmed(0.003) == ["realised_roc_auc"]


def test_realised_loss_needs_enough_labels_in_two_windows() -> None:
    few = [performance(day, realised=0.5, labelled=199) for day in range(5)]
    one = [performance(5, realised=0.5, labelled=300), performance(6, realised=0.7, labelled=300)]
    assert evaluated(table("quality_estimates", *few, *one), shipped()) == []
