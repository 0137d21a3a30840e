"""A Databricks workspace: the login, and its errors as messages."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import PermissionDenied
from databricks.sdk.errors.base import DatabricksError

from marvel_kedro.core.errors import ProjectError, remote_failure, shortened, without_password
from marvel_kedro.databricks.error_messages import WORKSPACE_REMEDIES

SDK_ERRORS = (DatabricksError, TimeoutError, requests.RequestException)
"""The errors of databricks-sdk: a rejected request, or no connection."""


def connect() -> WorkspaceClient:
    """Connect to the workspace with the login that every Databricks tool uses.

    Raises:
        ProjectError: There is no login.
    """
    try:
        return WorkspaceClient()
    except ValueError as error:
        raise ProjectError(
            f"There is no login to a workspace ({excerpt(error)}). Set DATABRICKS_HOST and "
            "DATABRICKS_TOKEN, or log in: databricks auth login."
        ) from error


@contextmanager
def errors_explained(
    thing: str, action: str, remedies: Mapping[type[DatabricksError], str]
) -> Iterator[None]:
    """Turn an error of the workspace into one message: the thing, the answer and the remedy.

    Args:
        thing: The object of the request, the beginning of a sentence.
        action: The request, a participle such as `created`.
        remedies: Remedies by the type of the error; the first that fits is used.

    Raises:
        ProjectError: One of `SDK_ERRORS` was raised inside.
    """
    try:
        yield
    except SDK_ERRORS as error:
        failure = remote_failure(error)
        remedy = WORKSPACE_REMEDIES[failure]
        # A revoked token is answered with PermissionDenied, too.
        if not (isinstance(error, PermissionDenied) and failure == "token"):
            fitting = (text for kind, text in remedies.items() if isinstance(error, kind))
            remedy = next(fitting, remedy)
        raise ProjectError(
            f"{thing} could not be {action}. Databricks says: {excerpt(error)}\n{remedy}"
        ) from error


def excerpt(text: object) -> str:
    """Return an error or another answer in one line, shortened and without secrets."""
    answer = without_password(str(text)).partition(" Config: host=")[0]
    return shortened(answer)
