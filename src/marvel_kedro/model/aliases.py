"""Aliases of a registered model: look up the version that has one, and move it.

MLflow is imported inside the functions: servers need the name of the traffic tag at their start.
"""

import fnmatch
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

NO_MODEL = ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND")
NO_VERSION = (*NO_MODEL, "INVALID_PARAMETER_VALUE")  # which of them depends on the registry

PROMOTED_TAG, DECISION_TAG = "promoted_at", "promoted_by"
"""The tags of a version: when it became champion, and by which decision."""

TRAFFIC_TAG = "endpoint.{}.traffic"
"""The tag of a registered model that overrides an endpoint's traffic; `{}` is the endpoint."""


def find_version(
    name: str, *, alias: str | None = None, number: str | None = None
) -> "ModelVersion | None":
    """Look up a version of a registered model by its alias, or else by its number, if it exists."""
    from mlflow import MlflowClient  # noqa: PLC0415 - slow to import
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    client = MlflowClient()
    try:
        if alias is not None:
            return client.get_model_version_by_alias(name, alias)
        return client.get_model_version(name, str(number))
    except MlflowException as error:
        if error.error_code in NO_VERSION:
            return None
        raise


def aliases_by_version(name: str) -> dict[str, set[str]]:
    """Return the aliases of every version of a registered model; empty without the model."""
    import mlflow  # noqa: PLC0415 - slow to import
    from mlflow.exceptions import MlflowException  # noqa: PLC0415

    try:
        aliases = mlflow.MlflowClient().get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code in NO_VERSION:
            return {}
        raise
    versions = mlflow.search_model_versions(filter_string=f"name='{name}'")
    found: dict[str, set[str]] = {str(each.version): set() for each in versions}
    for alias, version in aliases.items():
        found.setdefault(str(version), set()).add(alias)
    return found


def move_alias(
    name: str, alias: str, version: str, *, decision: str = "hand", at: datetime | None = None
) -> None:
    """Point an alias at a version.

    A new champion has tags for the time, by default now, and the `decision` that promoted it.
    A new champion starts without a challenger: that alias is deleted. So are the tags of traffic
    that was shifted for other versions: the endpoint's configured traffic applies again.
    """
    from mlflow import MlflowClient  # noqa: PLC0415 - slow to import

    client = MlflowClient()
    model = client.get_registered_model(name)
    if str(model.aliases.get(alias)) != version:
        for tag in fnmatch.filter(model.tags, TRAFFIC_TAG.format("*")):
            client.delete_registered_model_tag(name, tag)
        if alias == "champion":
            time = f"{at or datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            client.set_model_version_tag(name, version, PROMOTED_TAG, time)
            client.set_model_version_tag(name, version, DECISION_TAG, decision)
    client.set_registered_model_alias(name, alias, version)
    if alias == "champion" and "challenger" in model.aliases:
        client.delete_registered_model_alias(name, "challenger")
