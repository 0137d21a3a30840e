"""Traffic, errors and latency over time, by served entity."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial

from markupsafe import Markup

from marvel_kedro.monitoring.report import charts
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.axes import Format
from marvel_kedro.monitoring.report.charts import Line
from marvel_kedro.monitoring.report.data import ReportData
from marvel_kedro.monitoring.report.svg import Marker
from marvel_kedro.monitoring.report.windows import Row, Window

_MAX_ENTITIES = 5  # more colours cannot be distinguished
_OTHERS = "all others"
_MARKERS: tuple[Marker, ...] = ("circle", "diamond") * (_MAX_ENTITIES // 2 + 1)
_STYLES = [(f"c{number}", marker) for number, marker in enumerate(_MARKERS, 1)]
"""The colours and markers of the entities and of all others."""

Series = Mapping[str, Sequence[float | None]]
"""Values by served entity and window."""


def entities(data: ReportData) -> dict[str, dict[Window, Row]]:
    """Return the rows of the served entities by window, the entity with the most requests first."""
    found: dict[str, dict[Window, Row]] = defaultdict(dict)
    for span, rows in data.health.items():
        for row in rows:
            found[fmt.entity(row)][span] = row

    def rank(name: str) -> tuple[int, str]:
        return -sum(row["requests"] for row in found[name].values()), name

    return {name: found[name] for name in sorted(found, key=rank)}


def traffic(data: ReportData) -> list[fmt.Figure]:
    """Draw requests, failed requests and latency over time."""
    rows = entities(data)
    if not rows:
        return []

    def series(name: str, key: str) -> list[float | None]:
        return [rows[name].get(span, {}).get(key) for span in data.windows]

    def failed(name: str) -> list[float | None]:
        pairs = zip(series(name, "failed"), series(name, "requests"), strict=True)
        return [(errors or 0) / total if total else None for errors, total in pairs]

    shown, others = [*rows][:_MAX_ENTITIES], [*rows][_MAX_ENTITIES:]
    requests = {name: [value or 0 for value in series(name, "requests")] for name in shown}
    unshown = zip(*(series(name, "requests") for name in others), strict=True)
    rest = [sum(value or 0 for value in values) for values in unshown]
    if any(rest):
        requests[_OTHERS] = rest
    starts = [span.start for span in data.windows]
    chart = charts.stacked(
        starts,
        [*requests.values()],
        label=_label("Requests", data),
        form_time=partial(fmt.day, running=data.running),
        form=_count,
        running=data.running is not None,
    )
    errors = {name: failed(name) for name in shown}
    latency = {name: series(name, "latency_p95_ms") for name in shown}
    return [
        fmt.Figure("Requests", "", chart, _by_window(data, "Requests", requests, fmt.whole)),
        fmt.Figure(
            "Failed requests",
            "status 5xx or none",
            _lines(data, "Share of failed requests", errors, lambda value: f"{100 * value:g}%"),
            _by_window(data, "Share of failed requests", errors, fmt.share),
        ),
        fmt.Figure(
            "Latency, 95th percentile",
            "of answered requests",
            _lines(data, "95th percentile of the latency", latency, _milliseconds),
            _by_window(data, "95th percentile of the latency", latency, fmt.millis),
        ),
    ]


def legend(data: ReportData) -> list[tuple[tuple[str, str], str, str]]:
    """Return the kinds of `svg.swatch`, the colour and the name of each served entity."""
    names = [*entities(data)]
    if len(names) > _MAX_ENTITIES:
        names[_MAX_ENTITIES:] = [_OTHERS]
    styles = zip(names, _STYLES, strict=False)
    return [(("bar", marker), colour, name) for name, (colour, marker) in styles]


def _label(caption: str, data: ReportData) -> str:
    return (
        f"{caption} in each window of {data.granularity}, by served entity. "
        "The numbers are in the table."
    )


def _lines(data: ReportData, caption: str, values: Series, form: Format) -> Markup:
    styles = zip(values.values(), _STYLES, strict=False)
    return charts.over_time(
        [span.start for span in data.windows],
        [Line(line, colour, mark, dashed=mark == "diamond") for line, (colour, mark) in styles],
        label=_label(caption, data),
        form_time=partial(fmt.day, running=data.running),
        form=form,
        running=data.running is not None,
        from_zero=True,
    )


def _by_window(data: ReportData, caption: str, values: Series, form: fmt.Form) -> fmt.HtmlTable:
    windows = zip(data.windows, *values.values(), strict=True)
    rows = [[fmt.window(span), *map(form, row)] for span, *row in windows]
    return fmt.HtmlTable(caption, ["Window", *values], rows)


def _milliseconds(value: float) -> str:
    return fmt.millis(value) if value else "0 ms"  # a tick of the axis, not a duration


def _count(value: float) -> str:
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {name}"
    return f"{value:g}"
