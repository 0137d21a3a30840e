"""Faults that the user can mend: one message, no traceback."""

import os
import re

import click

_SECRETS = (
    "ARM_CLIENT_SECRET",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "DATABRICKS_CLIENT_SECRET",
    "DATABRICKS_TOKEN",
    "MARVEL_ALERT_WEBHOOK",
    "MARVEL_TOKEN",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
)
_SHORTEST = 4  # shorter ones are in every other word, and no secrets
# Of profiles and log-ins, which no variable holds: a workspace's, and JSON web tokens.
_TOKENS = re.compile(r"\b(?:dapi|dose)[0-9a-f][\w-]{6,}|\beyJ[\w-]{8,}(?:\.[\w-]+)*")


class ProjectError(click.ClickException):
    """Bad input or a fault outside the code.

    The message says what is wrong, naming the file, the column or the key, and what to do.
    Every kedro command shows it without a traceback.
    """


def without_password(text: str) -> str:
    """Leave user names and passwords out of the addresses in a text, and tokens out of the rest."""
    for secret in filter(None, map(os.environ.get, _SECRETS)):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "***")
    return re.sub(r"(?<=://)[^/@\s]+@", "", _TOKENS.sub("***", text))
