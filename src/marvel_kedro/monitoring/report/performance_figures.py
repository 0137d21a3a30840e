"""Model performance over time and by slice, and fairness."""

from markupsafe import Markup

from marvel_kedro.monitoring.report import charts
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.charts import Band, Line
from marvel_kedro.monitoring.report.data import (
    FAIRNESS,
    METRICS,
    ModelVersion,
    Performance,
    ReportData,
)
from marvel_kedro.monitoring.report.figure import Figure

_SERIES = (
    "the estimate with its interval, the value from labels, and {}. The numbers are in the table."
)


def performance(version: ModelVersion, data: ReportData) -> list[Figure]:
    """Draw each metric over time: estimate, value from labels, and baseline."""
    return [
        _over_time(metric, version, data) for metric in METRICS if any(version.performance[metric])
    ]


def slices(version: ModelVersion, metric: str = "roc_auc") -> Figure | None:
    """Draw a metric of each slice in the version's newest window; None without slices."""
    if not version.slices:
        return None
    name, newest = fmt.NAMES[metric], fmt.window(version.newest)
    found = [(one, one.performance[metric]) for one in version.slices]
    ranges = [
        (f"{one.name} ({fmt.number_of(one.records, 'record')})", p)
        for one, p in found
        if p.is_known
    ]
    label = f"{name} of each slice of version {version.name}, window {newest}: " + _SERIES.format(
        "the slice in the baseline"
    )
    chart = charts.ranges(ranges, label=label, form="{:g}".format) if ranges else Markup("")
    rows = [
        [
            one.name,
            fmt.whole(one.records),
            fmt.interval(p.estimate, p.low, p.high),
            fmt.decimal(p.realised),
            fmt.whole(p.labelled),
            fmt.decimal(p.baseline),
            fmt.UNKNOWN if one.drift is None else f"{one.drift[0]} {one.drift[1]:.2f}",
        ]
        for one, p in found
    ]
    table = fmt.HtmlTable(
        f"{name} by slice, version {version.name}, window {newest}",
        ["Slice", "Records", "Estimated", "From labels", "Labels", "Baseline", "Strongest drift"],
        rows,
        text_columns=frozenset({6}),
    )
    return Figure(f"Version {version.name}", f"{name}, window {newest}", chart, table)


def fairness(version: ModelVersion) -> fmt.HtmlTable | None:
    """Tabulate the fairness measures of Boolean slices; None if none is known."""
    rows = [
        [one.name, fmt.whole(one.records), *(fmt.decimal(one.fairness[name]) for name in FAIRNESS)]
        for one in version.slices
        if any(value is not None for value in one.fairness.values())
    ]
    if not rows:
        return None
    return fmt.HtmlTable(
        f"Fairness of version {version.name}, window {fmt.window(version.newest)}",
        ["Slice", "Records", *(name.replace("_", " ").capitalize() for name in FAIRNESS)],
        rows,
    )


def _over_time(metric: str, version: ModelVersion, data: ReportData) -> Figure:
    found = [one or Performance() for one in version.performance[metric]]
    name = fmt.NAMES[metric]
    chart = charts.over_time(
        [span.start for span in data.windows],
        [
            Line([one.estimate for one in found], "c1", "circle"),
            Line([one.realised for one in found], "c2", "diamond", dashed=True),
        ],
        bands=[Band([one.low for one in found], [one.high for one in found], "c1")],
        level=next((one.baseline for one in reversed(found) if one.baseline is not None), None),
        label=f"{name} of version {version.name} over time: " + _SERIES.format("the baseline"),
        form_time=fmt.day,
        form="{:g}".format,
    )
    rows = [
        [
            fmt.window(span),
            fmt.whole(one.records),
            fmt.whole(one.labelled),
            fmt.interval(one.estimate, one.low, one.high),
            fmt.decimal(one.realised),
            fmt.decimal(one.baseline),
        ]
        for span, one in zip(data.windows, found, strict=True)
        if one != Performance()
    ]
    head = ["Window", "Records", "Labels", "Estimated", "From labels", "Baseline"]
    better = "lower is better" if metric == "log_loss" else "higher is better"
    return Figure(
        name, better, chart, fmt.HtmlTable(f"{name} of version {version.name}", head, rows)
    )
