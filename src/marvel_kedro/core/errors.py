"""Errors: what users can fix, secrets that no message shows, failures of remote servers."""

import os
import re
from typing import Literal

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
_MIN_SECRET_LENGTH = 4  # shorter values are no secrets and occur in ordinary words
# Tokens of profiles and log-ins, which are in no variable: a workspace's, and JSON web tokens.
_TOKENS = re.compile(r"\b(?:dapi|dose)[0-9a-f][\w-]{6,}|\beyJ[\w-]{8,}(?:\.[\w-]+)*")

RemoteFailure = Literal["token", "privilege", "busy"]

_REMOTE_LIBRARIES = {"mlflow", "databricks", "requests"}
# Clients pass an answer on only as text, for example MLflow's download of files.
_ANSWERS: dict[RemoteFailure, str] = {
    "token": r"access token|unauthenticated|unauthorized|credential|error code 401",
    "privilege": r"permission_denied|forbidden|user does not have|error code 403",
    "busy": (
        r"timed out|timeout|too many|request_limit_exceeded|resource_exhausted|internal_error"
        r"|internal (server )?error|temporarily_unavailable|service unavailable|connection"
        r"|error code (429|5\d\d)"
    ),
}


class ProjectError(click.ClickException):
    """An error that the user can fix: bad input or a fault outside the code.

    The message names the file, the column or the key, and the remedy. Every kedro command shows it
    without a traceback.
    """


def without_password(text: str) -> str:
    """Remove user names and passwords from the addresses in a text, and mask tokens."""
    for secret in filter(None, map(os.environ.get, _SECRETS)):
        if len(secret) >= _MIN_SECRET_LENGTH:
            text = text.replace(secret, "***")
    return re.sub(r"(?<=://)[^/@\s]+@", "", _TOKENS.sub("***", text))


def shortened(text: str, characters: int = 1000) -> str:
    """Return a text on one line, cut between words where it is longer, which dots then say."""
    words = " ".join(text.split())
    if len(words) <= characters:
        return words
    return f"{words[: characters - 3].rpartition(' ')[0] or words[: characters - 3]} .."


def remote_failure(error: BaseException) -> RemoteFailure | None:
    """Classify the error of a client of an MLflow server or a Databricks workspace.

    `token`: the server rejected the token. `privilege`: the user lacks one. `busy`: the server is
    busy, broken or unreachable. None: the server processed the request, or the error is not one of
    a client.
    """
    library = type(error).__module__.partition(".")[0]
    # databricks-sdk gives up with a TimeoutError.
    if library not in _REMOTE_LIBRARIES and not isinstance(error, TimeoutError):
        return None
    text = str(error).lower()
    return next((kind for kind, answer in _ANSWERS.items() if re.search(answer, text)), None)
