"""Traffic shifts of a workspace's endpoint: read the shares in effect, and set others."""

from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.service import serving as sdk

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.endpoint.spec import all_shares, as_input, served_entities
from marvel_kedro.databricks.endpoint.update import UPDATE_TIMEOUT, Update, find_settled
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.serving.traffic_split import redistribute, validate_shares


def current_shares(
    client: WorkspaceClient, name: str, timeout: timedelta = UPDATE_TIMEOUT
) -> dict[str, int]:
    """Return the percentages in effect by served entity, after the end of an update in progress.

    Raises:
        ProjectError: The endpoint does not exist or cannot be queried.
    """
    return all_shares(_settled_config(client, name, timeout))


def shift(
    client: WorkspaceClient,
    endpoint: EndpointOptions,
    traffic: dict[str, int],
    timeout: timedelta = UPDATE_TIMEOUT,
) -> dict[str, int]:
    """Set the shares of what the endpoint serves, and nothing else, until the next `deploy`.

    Returns:
        The new percentages: the shares of entities that are not served go to the others.

    Raises:
        ProjectError: The shares are invalid, or the endpoint does not exist or does not answer.
    """
    config = _settled_config(client, endpoint.name, timeout)
    entities = [as_input(entity) for entity in served_entities(config)]
    served = [str(entity.name) for entity in entities]
    try:
        validate_shares(traffic, list(dict.fromkeys([*endpoint.entity_names, *served])))
    except ValueError as error:
        raise ProjectError(f"The endpoint '{endpoint.name}': {error}.") from error
    shares = redistribute(traffic, served)
    change = Update(client, endpoint.name, entities, shares, config, timeout)
    change.run(is_change=all_shares(config) != shares)
    return shares


def _settled_config(
    client: WorkspaceClient, name: str, timeout: timedelta
) -> sdk.EndpointCoreConfigOutput:
    """Return the configuration of an endpoint that serves something."""
    found = find_settled(client, name, timeout)
    if found is None or found.config is None or not served_entities(found.config):
        raise ProjectError(
            f"The endpoint '{name}' serves nothing. Create it: kedro deploy --target databricks."
        )
    return found.config
