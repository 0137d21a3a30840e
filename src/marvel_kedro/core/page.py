"""A report as one page that needs nothing else: Markdown with plots in it."""

import base64
import io
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup
from matplotlib.figure import Figure

_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("marvel_kedro.core", "."),
    autoescape=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)
_PLAIN = Markup("")


def render(markdown: str, plots: dict[str, Figure]) -> str:
    """Turn Markdown into one page, plots included.

    Args:
        markdown: The text; its first line is the heading, and the title of the page.
        plots: Figures by the name of their file in the text, without the ending `.png`.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for name, figure in plots.items():
        body = body.replace(f'src="{name}.png"', f'src="data:image/png;base64,{_png(figure)}"')
    body = body.replace("<table>", '<div class="wide"><table>').replace(
        "</table>", "</table></div>"
    )
    # With HTML switched off, what markdown-it renders is escaped.
    return document(markdown.splitlines()[0].removeprefix("# "), Markup(body))  # noqa: S704


def document(title: str, body: Markup, style: Markup = _PLAIN) -> str:
    """Make a page that loads nothing and runs nothing, in the look that all pages share.

    Args:
        title: Of the page.
        body: Its content, without anything from outside that was not escaped.
        style: A style sheet of its own, after the shared one.
    """
    return _templates.get_template("page.html.j2").render(title=title, body=body, style=style)


def cell(value: Any) -> str:  # noqa: ANN401 - anything
    """A value as the text of a cell of a table in Markdown."""
    return str(value).replace("|", r"\|").replace("\n", " ")


def _png(figure: Figure) -> str:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    return base64.b64encode(image.getvalue()).decode()
