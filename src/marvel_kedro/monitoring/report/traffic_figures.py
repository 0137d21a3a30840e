"""Traffic, errors and latency over time, by served entity."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count

from markupsafe import Markup

from marvel_kedro.monitoring.report import charts, svg
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.axes import Format
from marvel_kedro.monitoring.report.charts import Line
from marvel_kedro.monitoring.report.data import ReportData
from marvel_kedro.monitoring.report.figure import Figure, Legend
from marvel_kedro.monitoring.report.svg import Marker

_MAX_ENTITIES = 5  # more colours cannot be distinguished
_OTHERS = "all others"

Values = Sequence[float | None]


def entities(data: ReportData) -> list[str]:
    """Return the served entities, the most requests first."""
    requests: Counter[str] = Counter()
    for rows in data.health.values():
        for row in rows:
            requests[fmt.entity(row)] += row["requests"]
    return sorted(requests, key=lambda name: (-requests[name], name))


def traffic(data: ReportData) -> list[Figure]:
    """Draw requests, failed requests and latency over time."""
    names = entities(data)
    if not names:
        return []
    rows = {(span, fmt.entity(row)): row for span, rows in data.health.items() for row in rows}

    def series(name: str, key: str) -> Values:
        return [rows[span, name][key] if (span, name) in rows else None for span in data.windows]

    def failed(name: str) -> Values:
        pairs = zip(series(name, "failed"), series(name, "requests"), strict=True)
        return [(errors or 0) / total if total else None for errors, total in pairs]

    shown = names[:_MAX_ENTITIES]
    requests = {name: [value or 0 for value in series(name, "requests")] for name in shown}
    others = [series(name, "requests") for name in names[_MAX_ENTITIES:]]
    rest = [sum(value or 0 for value in values) for values in zip(*others, strict=True)]
    if any(rest):
        requests[_OTHERS] = rest
    chart = charts.stacked(
        [span.start for span in data.windows],
        list(requests.values()),
        label=_label("Requests", data),
        form_time=fmt.day,
        form=_count,
    )
    errors = {name: failed(name) for name in shown}
    latency = {name: series(name, "latency_p95_ms") for name in shown}
    return [
        Figure("Requests", "", chart, _by_window(data, "Requests", requests, fmt.whole)),
        Figure(
            "Failed requests",
            "status 5xx or none",
            _lines(data, "Share of failed requests", errors, lambda value: f"{100 * value:g}%"),
            _by_window(data, "Share of failed requests", errors, fmt.share),
        ),
        Figure(
            "Latency, 95th percentile",
            "of answered requests",
            _lines(data, "95th percentile of the latency", latency, fmt.millis),
            _by_window(data, "95th percentile of the latency", latency, fmt.millis),
        ),
    ]


def entity_legend(data: ReportData) -> Legend:
    """Make the legend of the served entities."""
    names = entities(data)
    shown = [*names[:_MAX_ENTITIES], *([_OTHERS] if len(names) > _MAX_ENTITIES else [])]
    return [
        (Markup("{} {}").format(svg.swatch("bar", colour), svg.swatch(marker, colour)), name)
        for name, (colour, marker) in zip(shown, _styles(), strict=False)
    ]


def _styles() -> Iterator[tuple[str, Marker]]:
    """Yield the colour and the marker of each entity in turn."""
    for number in count(1):
        yield f"c{number}", "circle" if number % 2 else "diamond"


def _label(caption: str, data: ReportData) -> str:
    return (
        f"{caption} in each window of {data.granularity}, by served entity. "
        "The numbers are in the table."
    )


def _lines(data: ReportData, caption: str, values: Mapping[str, Values], form: Format) -> Markup:
    return charts.over_time(
        [span.start for span in data.windows],
        [
            Line(line, colour, marker, dashed=marker == "diamond")
            for line, (colour, marker) in zip(values.values(), _styles(), strict=False)
        ],
        label=_label(caption, data),
        form_time=fmt.day,
        form=form,
        from_zero=True,
    )


def _by_window(
    data: ReportData,
    caption: str,
    values: Mapping[str, Values],
    form: Callable[[float | None], str],
) -> fmt.HtmlTable:
    rows = [
        [fmt.window(span), *map(form, row)]
        for span, row in zip(data.windows, zip(*values.values(), strict=True), strict=True)
    ]
    return fmt.HtmlTable(caption, ["Window", *values], rows)


def _count(value: float) -> str:
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {name}"
    return f"{value:g}"
