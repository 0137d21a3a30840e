"""Self-contained HTML pages: Markdown with embedded plots, and the layout that all pages share."""

import base64
import io
import itertools
import re
from typing import Any

import jinja2
from markdown_it import MarkdownIt
from markupsafe import Markup
from matplotlib.figure import Figure

_EMPTY = Markup("")


def templates(package: str, *, autoescape: bool = True) -> jinja2.Environment:
    """Return the Jinja environment of the templates in a package, which by default escapes text."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "."),
        autoescape=autoescape,  # noqa: S701 - off for Markdown, which `render` escapes
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )


def render(markdown: str, plots: dict[str, Figure]) -> str:
    """Render Markdown, whose first line is the heading, with its plots as one page.

    Plots are by their file name in the text, without `.png`.
    """
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    for name, figure in plots.items():
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=110)
        encoded = base64.b64encode(image.getvalue()).decode()
        body = body.replace(f'src="{name}.png"', f'src="data:image/png;base64,{encoded}"')
    region = '<div class="wide" role="region" tabindex="0" aria-label="{}"><table>'
    # Those that are wider than the screen scroll, for which the keyboard needs them in its order.
    number = itertools.count(1)
    body = re.sub("<table>", lambda _: region.format(f"Table {next(number)}"), body)
    body = body.replace("</table>", "</table></div>").replace("<pre>", '<pre tabindex="0">')
    # With HTML switched off, the output of markdown-it is escaped.
    return document(markdown.splitlines()[0].removeprefix("# "), Markup(body))  # noqa: S704


def document(title: str, body: Markup, style: Markup = _EMPTY) -> str:
    """Render the shared layout: a page that loads no files and runs no scripts.

    Input from outside must already be escaped in `body`; `style` follows the shared style sheet.
    """
    template = templates("marvel_kedro.core").get_template("page.html.j2")
    return template.render(title=title, body=body, style=style)


def cell(value: Any) -> str:  # noqa: ANN401 - any value
    """Format a value as the text of a Markdown table cell."""
    return str(value).replace("|", r"\|").replace("\n", " ")
