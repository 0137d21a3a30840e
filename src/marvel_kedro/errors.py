"""Faults that the user can mend: one message, no traceback."""

import os
import re

import click

_SECRETS = (
    "DATABRICKS_TOKEN",
    "DATABRICKS_CLIENT_SECRET",
    "MLFLOW_TRACKING_TOKEN",
    "MARVEL_TOKEN",
)


class ProjectError(click.ClickException):
    """Bad input or a fault outside the code.

    The message says what is wrong, naming the file, the column or the key, and what to do.
    Every kedro command shows it without a traceback.
    """


def without_password(text: str) -> str:
    """Leave user names and passwords out of the addresses in a text, and tokens out of the rest."""
    for secret in filter(None, map(os.environ.get, _SECRETS)):
        text = text.replace(secret, "***")
    text = re.sub(r"\bdapi[0-9a-f][\w-]+", "***", text)  # a workspace's token, of a profile
    return re.sub(r"(?<=://)[^/@\s]+@", "", text)
