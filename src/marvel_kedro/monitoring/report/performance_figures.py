"""Model performance over time and by slice, and fairness."""

from functools import partial

from markupsafe import Markup

from marvel_kedro.monitoring.report import charts
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.charts import Band, Line
from marvel_kedro.monitoring.report.data import FAIRNESS, ModelVersion, Performance, ReportData

_LABEL = (
    "{}: the estimate with its interval, the value from labels, and {}. "
    "The numbers are in the table."
)


def performance(version: ModelVersion, data: ReportData) -> list[fmt.Figure]:
    """Draw each metric over time: estimate, value from labels, and baseline."""
    known = (metric for metric, found in version.performance.items() if {*found} != {Performance()})
    return [_over_time(metric, version, data) for metric in known]


def one_class(version: ModelVersion) -> str:
    """Say whether the newest window has predictions or labels of one class only; else empty."""
    newest = fmt.window(version.newest)
    texts = []
    if version.only_prediction:
        records = fmt.number_of(version.records, "record")
        texts.append(
            f"{records} in window {newest}: {version.only_prediction} is predicted for all."
        )
    if version.one_class_labels:
        texts.append(f"The labels of window {newest} are of one class, which has no ROC AUC.")
    return " ".join(texts)


def slices(version: ModelVersion) -> fmt.Figure:
    """Draw the ROC AUC of each slice in the version's newest window."""
    name, newest = fmt.NAMES["roc_auc"], fmt.window(version.newest)
    found = [(one, one.performance["roc_auc"]) for one in version.slices]
    known = [(one, p) for one, p in found if p.known]
    ranges = [(f"{one.name} ({fmt.number_of(one.records, 'record')})", p) for one, p in known]
    subject = f"{name} of each slice of version {version.name}, window {newest}"
    label = _LABEL.format(subject, "the slice in the baseline")
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
    caption = f"{name} by slice, version {version.name}, window {newest}"
    head = ["Slice", "Records", "Estimated", "From labels", "Labels", "Baseline", "Strongest drift"]
    table = fmt.HtmlTable(caption, head, rows, text_columns=frozenset({6}))
    return fmt.Figure(f"Version {version.name}", f"{name}, window {newest}", chart, table)


def fairness(version: ModelVersion) -> fmt.HtmlTable | None:
    """Tabulate the fairness measures of Boolean slices; None if none is known."""
    # Predictions of one class give every slice the same rates.
    telling = FAIRNESS[:1] if version.only_prediction else FAIRNESS
    names = [
        name for name in telling if any(one.fairness[name] is not None for one in version.slices)
    ]
    rows = [
        [one.name, fmt.whole(one.records), *(fmt.decimal(one.fairness[name]) for name in names)]
        for one in version.slices
        if any(one.fairness[name] is not None for name in names)
    ]
    if not rows:
        return None
    caption = f"Fairness of version {version.name}, window {fmt.window(version.newest)}"
    head = ["Slice", "Records", *(name.replace("_", " ").capitalize() for name in names)]
    return fmt.HtmlTable(caption, head, rows)


def _over_time(metric: str, version: ModelVersion, data: ReportData) -> fmt.Figure:
    name, found = fmt.NAMES[metric], version.performance[metric]
    chart = charts.over_time(
        [span.start for span in data.windows],
        [
            Line([one.estimate for one in found], "c1", "circle"),
            Line([one.realised for one in found], "c2", "diamond", dashed=True),
        ],
        bands=[Band([one.low for one in found], [one.high for one in found], "c1")],
        level=next((one.baseline for one in reversed(found) if one.baseline is not None), None),
        label=_LABEL.format(f"{name} of version {version.name} over time", "the baseline"),
        form_time=partial(fmt.day, running=data.running),
        running=data.running is not None,
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
    table = fmt.HtmlTable(f"{name} of version {version.name}", head, rows)
    better = "lower is better" if metric == "log_loss" else "higher is better"
    return fmt.Figure(name, better, chart, table)
