"""Faults that the user can mend: one message, no traceback."""

import re

import click


class ProjectError(click.ClickException):
    """Bad input or a fault outside the code.

    The message says what is wrong, naming the file, the column or the key, and what to do.
    Every kedro command shows it without a traceback.
    """


def without_password(text: str) -> str:
    """Leave user names and passwords out of the addresses in a text."""
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)
