"""The report of an A/B test in Markdown."""

from typing import Any

from marvel_kedro.core import page
from marvel_kedro.monitoring.ab_test.comparison import GAINS, ABTestResult, p_value
from marvel_kedro.monitoring.ab_test.entities import METRICS
from marvel_kedro.monitoring.options import ABTestOptions
from marvel_kedro.monitoring.report.formatting import UNKNOWN, interval, millis, number
from marvel_kedro.table.description import TableSpec


def render_markdown(
    result: ABTestResult, options: ABTestOptions, table: TableSpec, model: str, plots: set[str]
) -> str:
    """Render the result with those plots of `traffic` and `gain` that exist as files beside it."""
    entities = result.report["entities"]
    known = [name for name in METRICS if any(row[name] is not None for row in entities)]
    return _templates.get_template("ab_page.md.j2").render(
        report=result.report,
        options=options,
        table=table,
        model=model,
        plots=plots,
        gains=GAINS,
        metrics=known,
    )


def _bounds(row: dict[str, Any], metric: str) -> str:
    low, high = (row.get(f"{metric}_{end}") for end in ("low", "high"))
    return UNKNOWN if low is None or high is None else f"{low:+.4f} to {high:+.4f}"


_templates = page.templates("marvel_kedro.monitoring.ab_test", autoescape=False)  # Markdown
_templates.filters |= {
    "cell": page.cell,
    "number": number,
    "bounds": _bounds,
    "interval": interval,
    "millis": millis,
    "p_value": lambda value: UNKNOWN if value is None else p_value(value),
    "day": lambda time: time[:10] if time else UNKNOWN,
}
