"""A Databricks workspace: the login to it, and what it refuses in one message."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import PermissionDenied
from databricks.sdk.errors.base import DatabricksError

from marvel_kedro.core.errors import ProjectError, remote_failure, without_password
from marvel_kedro.project import error_messages

FAULTS = (DatabricksError, TimeoutError, requests.RequestException)
"""What databricks-sdk raises when it is refused, or cannot ask."""

_MOST_OF_AN_ANSWER = 300


def connect() -> WorkspaceClient:
    """Find the workspace and the login, as every Databricks tool does.

    Raises:
        ProjectError: There is no login.
    """
    try:
        return WorkspaceClient()
    except ValueError as error:
        raise ProjectError(
            f"There is no login to a workspace ({said(error)}). Set DATABRICKS_HOST and "
            "DATABRICKS_TOKEN, or log in: databricks auth login."
        ) from error


@contextmanager
def asking(thing: str, what: str, remedies: Mapping[type[DatabricksError], str]) -> Iterator[None]:
    """Make one message of what the workspace refuses: thing, fault and remedy.

    Args:
        thing: What is asked about, the beginning of a sentence.
        what: What was to be done with it, a participle.
        remedies: By the kind of a refusal; the first that fits counts.

    Raises:
        ProjectError: Anything of `FAULTS` was raised inside.
    """
    try:
        yield
    except FAULTS as error:
        raise ProjectError(
            f"{thing} could not be {what}. Databricks says: {said(error)}\n"
            f"{_remedy(error, remedies)}"
        ) from error


def _remedy(error: Exception, remedies: Mapping[type[DatabricksError], str]) -> str:
    refusal = remote_failure(error)
    if not (isinstance(error, PermissionDenied) and refusal == "token"):  # as one that is revoked
        for kind, remedy in remedies.items():
            if isinstance(error, kind):
                return remedy
    return error_messages.WORKSPACE_REMEDIES[refusal]


def said(error: BaseException) -> str:
    """What a fault says, in one line and without secrets."""
    text = without_password(str(error)).partition(" Config: host=")[0]
    return shortened(" ".join(text.split()))


def shortened(text: str) -> str:
    """As much of a text as a message takes."""
    return text[:_MOST_OF_AN_ANSWER]
