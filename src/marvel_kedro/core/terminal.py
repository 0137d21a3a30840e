"""The console of tables for people."""

import sys

from rich.console import Console

LEAST_WIDTH = 80
"""Columns in which every table fits with its ids, dates and paths in full."""


def wide_enough(console: Console | None = None) -> Console:
    """Widen a console, by default that of the standard output, to `LEAST_WIDTH`.

    A narrower terminal wraps the lines, where rich would cut them.
    """
    console = console or Console(file=sys.stdout)
    console.width = max(console.width, LEAST_WIDTH)
    return console
