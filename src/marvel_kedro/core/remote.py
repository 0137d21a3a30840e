"""Faults of a server that is asked over HTTP: an MLflow server, or a Databricks workspace."""

import re
from typing import Literal

Refusal = Literal["token", "privilege", "busy"]

_LIBRARIES = {"mlflow", "databricks", "requests"}
# Clients hand on what a server said only as text: MLflow's download of files wraps it so.
_SAID: dict[Refusal, re.Pattern[str]] = {
    "token": re.compile(
        r"access token|unauthenticated|unauthorized|credential|error code 401", re.IGNORECASE
    ),
    "privilege": re.compile(
        r"permission_denied|forbidden|user does not have|error code 403", re.IGNORECASE
    ),
    "busy": re.compile(
        r"timed out|timeout|too many|request_limit_exceeded|resource_exhausted|internal_error"
        r"|internal (server )?error|temporarily_unavailable|service unavailable|connection"
        r"|error code (429|5\d\d)",
        re.IGNORECASE,
    ),
}


def refusal(fault: BaseException) -> Refusal | None:
    """Say what kept a server from doing what it was asked.

    Args:
        fault: What a client raised.

    Returns:
        It did not take the token, wants a privilege, or is busy, broken or out of reach; None if
        the server answered, or was not asked.
    """
    library = type(fault).__module__.partition(".")[0]
    if library not in _LIBRARIES and not isinstance(fault, TimeoutError):  # databricks-sdk's end
        return None
    return next((kind for kind, said in _SAID.items() if said.search(str(fault))), None)
