"""Errors of a workspace's endpoints, with their remedies."""

from contextlib import AbstractContextManager

from databricks.sdk import errors
from databricks.sdk.errors.base import DatabricksError

from marvel_kedro.databricks import workspace

AGAIN = "run the same command again: it continues from what is there."
_CONFLICT = f"Another deployment changes it at the same time. Wait until it has ended, then {AGAIN}"
_REMEDIES: dict[type[DatabricksError], str] = {
    errors.PermissionDenied: "Have it granted by an owner: CAN MANAGE on the endpoint; USE "
    "CATALOG, USE SCHEMA and EXECUTE ON MODEL for the model; CREATE TABLE ON SCHEMA as well for "
    "the inference table.",
    errors.ResourceConflict: _CONFLICT,
    errors.InvalidState: _CONFLICT,
    errors.NotFound: "Either it was deleted, or the model, its version, the catalog or the schema "
    "does not exist. Check endpoint.model (MARVEL_CATALOG, MARVEL_SCHEMA), then run the same "
    "command again: it creates a missing endpoint.",
    errors.BadRequest: "Correct the section `endpoint` in conf/*/serving/parameters.yml; if a "
    "quota is used up, delete an endpoint that is no longer needed.",
}


class UnhealthyError(Exception):
    """The new served entities do not serve, which is a reason to roll back."""


class UnverifiedError(Exception):
    """The smoke test could not reach the endpoint, which is no reason to roll back."""


def explained(name: str, action: str) -> AbstractContextManager[None]:
    """Raise errors of the workspace as one message; the action is a participle."""
    return workspace.errors_explained(f"The endpoint '{name}'", action, _REMEDIES)
