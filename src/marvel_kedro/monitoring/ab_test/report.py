"""The reading of an A/B test in Markdown."""

import math
from typing import Any

import jinja2
import pandas as pd

from marvel_kedro.core.page import cell
from marvel_kedro.monitoring.ab_test.comparison import GAINS, METRICS, Reading, p_value
from marvel_kedro.monitoring.options import ABTestOptions

NAMES = {
    "roc_auc": "ROC AUC",
    "log_loss": "log loss",
    "accuracy": "accuracy",
    "ece": "calibration error",
}
_UNKNOWN = "–"  # noqa: RUF001

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("marvel_kedro.monitoring.ab_test", "."),
    autoescape=False,  # noqa: S701 - Markdown; what makes a page of it escapes
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)


def render_markdown(reading: Reading, options: ABTestOptions, plots: set[str]) -> str:
    """Write the reading, with the plots as files beside it.

    Args:
        reading: What was found.
        options: How it was found.
        plots: Which of `traffic` and `gain` there are.
    """
    found = reading.report
    return _templates.get_template("ab_page.md.j2").render(
        verdict=cell(found["verdict"]),
        first=_day(found["first_request"]),
        last=_day(found["last_request"]),
        counts=found,
        plots=plots,
        alpha=f"{options.alpha:.0%}",
        confidence=f"{options.confidence:.0%}",
        min_clusters=options.min_clusters,
        traffic_check=cell(_traffic(found["traffic_check"])),
        comparisons=[row for other in found["comparisons"] for row in _comparison(other)],
        entities=[
            {
                "name": cell(row["entity"]),
                "traffic": [
                    f"{row['requests']:,}",
                    f"{row['traffic_share']:.1%}",
                    *(f"{row[f'{kind}_share']:.2%}" for kind in ("refused", "throttled", "failed")),
                    *(_number(row[f"latency_p{percent}_ms"], ".0f") for percent in (50, 95, 99)),
                ],
                "quality": [
                    f"{row['scored_records']:,}",
                    f"{row['labelled_records']:,}",
                    *(_interval(row, metric) for metric in METRICS),
                ],
            }
            for row in reading.entities.to_dict(orient="records")
        ],
        metrics=[NAMES[metric] for metric in METRICS],
        rejected={
            cell(reason): f"{rows:,}" for reason, rows in found["requests_without_records"].items()
        },
    )


def _comparison(found: dict[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "challenger": cell(found["challenger"]),
            "metric": NAMES[metric],
            "gain": _number(found.get(f"{metric}_gain"), "+.4f"),
            "bounds": _bounds(found.get(f"{metric}_low"), found.get(f"{metric}_high")),
            "p_value": _p_value(found.get(f"{metric}_p_value")).removeprefix("= "),
            "clusters": f"{found.get('clusters', 0):,} and {found.get('champion_clusters', 0):,}",
            "verdict": found["verdict"] if metric == GAINS[0] else "",
        }
        for metric in GAINS
    ]


def _traffic(check: dict[str, Any]) -> str:
    if check["p_value"] is None:
        return check["verdict"]
    return f"{check['verdict']} (p {_p_value(check['p_value'])})"


def _interval(row: dict[Any, Any], metric: str) -> str:
    if pd.isna(row[metric]):
        return _UNKNOWN
    return f"{row[metric]:.3f} ({row[f'{metric}_low']:.3f}–{row[f'{metric}_high']:.3f})"  # noqa: RUF001


def _bounds(low: float | None, high: float | None) -> str:
    return _UNKNOWN if low is None or high is None else f"{low:+.4f} to {high:+.4f}"


def _p_value(value: float | None) -> str:
    return _UNKNOWN if value is None else p_value(value)


def _number(value: float | None, form: str) -> str:
    return _UNKNOWN if value is None or not math.isfinite(value) else format(value, form)


def _day(time: str | None) -> str:
    return time[:10] if time else _UNKNOWN
