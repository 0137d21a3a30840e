"""What a workspace refuses an endpoint, and what to do about it."""

from contextlib import AbstractContextManager

from databricks.sdk.errors import (
    BadRequest,
    InvalidState,
    NotFound,
    PermissionDenied,
    ResourceConflict,
)
from databricks.sdk.errors.base import DatabricksError

from marvel_kedro.databricks import workspace

AGAIN = "run the same command again: it goes on from what is there."
_OTHER = f"Another deployment changes it at the same time. Wait for its end, then {AGAIN}"
_REMEDIES: dict[type[DatabricksError], str] = {
    PermissionDenied: "Have it granted by an owner: CAN MANAGE on the endpoint; USE CATALOG, USE "
    "SCHEMA and EXECUTE ON MODEL for the model; CREATE TABLE ON SCHEMA as well for the inference "
    "table.",
    ResourceConflict: _OTHER,
    InvalidState: _OTHER,
    NotFound: "Somebody has deleted it, or the model, its version, the catalog or the schema is "
    "not there. Look at endpoint.model (MARVEL_CATALOG, MARVEL_SCHEMA), then run the same command "
    "again: it makes an endpoint that is missing.",
    BadRequest: "Mend the section `endpoint` in conf/*/serving/parameters.yml; if a quota is used "
    "up, delete an endpoint that nobody needs.",
}


class UnfitError(Exception):
    """What was to serve does not: the reason to roll back."""


class UntriedError(Exception):
    """Whether it serves could not be tried: no reason to."""


def asking(name: str, what: str) -> AbstractContextManager[None]:
    """Make one message of what the workspace refuses: endpoint, fault and remedy."""
    return workspace.asking(f"The endpoint '{name}'", what, _REMEDIES)
