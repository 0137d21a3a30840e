"""SVG elements of the charts: shapes, text and the swatches of legends.

A chart is an image with a label for screen readers. Colours are CSS classes (`c1`, `c2`, ..), which
the page defines for light and dark mode; series also differ by shape or dashes.
"""

from collections.abc import Iterable
from functools import partial
from typing import Literal

from markupsafe import Markup, escape

Marker = Literal["circle", "diamond"]

WIDTH = 360
"""Width of a chart in its own units; the page scales it to the available room."""


def element(tag: str, *children: str, **attributes: str | float | None) -> Markup:
    """Make an element with escaped texts and attributes; attributes that are None are left out."""
    texts = {
        name.rstrip("_").replace("_", "-"): coordinate(value) if isinstance(value, float) else value
        for name, value in attributes.items()
        if value is not None
    }
    return Markup("<{tag}{attributes}>{children}</{tag}>").format(
        tag=Markup(tag),  # noqa: S704 - names in this package
        attributes=Markup("").join(Markup(' {}="{}"').format(*pair) for pair in texts.items()),
        children=Markup("").join(escape(child) for child in children),
    )


def coordinate(value: float) -> str:
    """Format a coordinate to a hundredth of a unit."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def text(x: float, y: float, content: str, anchor: str, kind: str | None = None) -> Markup:
    """Make a text."""
    return element("text", content, class_=kind, x=x, y=y, text_anchor=anchor)


def points(pairs: Iterable[tuple[float, float]]) -> str:
    """Format the points of a polygon."""
    return " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in pairs)


def marker(kind: Marker, x: float, y: float, colour: str) -> Markup:
    """Make the marker of a point."""
    if kind == "circle":
        return element("circle", class_=f"dot {colour}", cx=x, cy=y, r=3)
    corners = ((x, y - 4.5), (x + 4.5, y), (x, y + 4.5), (x - 4.5, y))
    return element("polygon", class_=f"dot {colour}", points=points(corners))


def chart(parts: Iterable[Markup], height: float, label: str, kind: str = "chart") -> Markup:
    """Make a chart with a label for screen readers."""
    box = f"0 0 {WIDTH} {coordinate(height)}"
    return element(
        "svg", *parts, class_=kind, viewBox=box, role="img", aria_label=label, focusable="false"
    )


def ornament(*parts: Markup, kind: str, width: int, height: int) -> Markup:
    """Make an image that screen readers skip."""
    box = f"0 0 {width} {height}"
    hidden = {"aria_hidden": "true", "focusable": "false"}
    return element("svg", *parts, class_=kind, viewBox=box, width=width, height=height, **hidden)


def swatch(kind: str, colour: str = "c1") -> Markup:
    """Make the symbol of a legend entry; `kind` is one of the shapes below."""
    box = partial(element, "rect", x=1.5, y=3, width=23, height=8)
    line = partial(element, "line", x1=1, x2=25, y1=7, y2=7)
    shapes = {
        "bar": box(class_=f"bar {colour}"),
        "hollow": box(class_=f"hollow {colour}"),
        "band": box(class_=f"area {colour}"),
        "level": line(class_="level"),
        "tick": element("line", class_="tick", x1=13, x2=13, y1=1, y2=13),
        "line": line(class_=f"line {colour}"),
        "dashed": line(class_=f"line dashed {colour}"),
        "circle": line(class_=f"line {colour}") + marker("circle", 13, 7, colour),
        "diamond": line(class_=f"line dashed {colour}") + marker("diamond", 13, 7, colour),
    }
    return ornament(shapes[kind], kind="swatch", width=26, height=14)
