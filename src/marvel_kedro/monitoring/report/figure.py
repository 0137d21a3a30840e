"""A figure of the report: a chart with its numbers as a table."""

from dataclasses import dataclass

from markupsafe import Markup

from marvel_kedro.monitoring.report import svg
from marvel_kedro.monitoring.report.formatting import HtmlTable

Legend = list[tuple[Markup, str]]


@dataclass(frozen=True)
class Figure:
    """A chart (empty if there is nothing to draw) with its numbers, a title and a note."""

    title: str
    note: str
    chart: Markup
    table: HtmlTable


def legend(*entries: tuple[str, str, str]) -> Legend:
    """Make a legend of kinds and colours of `svg.swatch` with their texts."""
    return [(svg.swatch(kind, colour), text) for kind, colour, text in entries]
