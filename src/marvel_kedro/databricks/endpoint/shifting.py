"""`kedro endpoint`: the traffic of an endpoint, as it is and shared out anew."""

from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import EndpointCoreConfigOutput

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.endpoint.served_entities import all_shares, as_input, served_entities
from marvel_kedro.databricks.endpoint.update import serve
from marvel_kedro.databricks.endpoint.waiting import WAIT, settled
from marvel_kedro.serving.configuration import EndpointOptions, check_traffic, effective_traffic


def served_traffic(client: WorkspaceClient, name: str, timeout: timedelta = WAIT) -> dict[str, int]:
    """The shares that hold now, whoever has set them.

    Args:
        client: The workspace.
        name: Name of the endpoint.
        timeout: How long an update that is under way may take.

    Returns:
        A percentage for each that is served, 100 in all.

    Raises:
        ProjectError: The endpoint is not there or cannot be asked.
    """
    return all_shares(_settled_config(client, name, timeout))


def shift(
    client: WorkspaceClient,
    endpoint: EndpointOptions,
    traffic: dict[str, int],
    timeout: timedelta = WAIT,
) -> dict[str, int]:
    """Share out the traffic anew among what the endpoint serves; nothing else changes.

    The next `deploy` goes back to what it is told.

    Args:
        client: The workspace.
        endpoint: The description.
        traffic: Percentages by served entity, 100 in all.
        timeout: How long an update may take.

    Returns:
        The percentages now: what is not served there gets none, its share goes to the others.

    Raises:
        ProjectError: The shares are not right, or the endpoint is not there or does not answer.
    """
    found = _settled_config(client, endpoint.name, timeout)
    entities = [as_input(entity) for entity in served_entities(found)]
    served = [str(entity.name) for entity in entities]
    described = [entity.name for entity in endpoint.served_entities]
    try:
        check_traffic(traffic, list(dict.fromkeys([*described, *served])))
    except ValueError as error:
        raise ProjectError(f"The endpoint '{endpoint.name}': {error}.") from error
    shares = effective_traffic(traffic, served)
    serve(
        client,
        endpoint.name,
        entities,
        shares,
        found,
        timeout=timeout,
        change=all_shares(found) != shares,
    )
    return shares


def _settled_config(
    client: WorkspaceClient, name: str, timeout: timedelta
) -> EndpointCoreConfigOutput:
    """What an endpoint serves, which is something."""
    found = settled(client, name, timeout)
    if found is None or not served_entities(found.config):
        raise ProjectError(
            f"The endpoint '{name}' serves nothing. Make it: kedro deploy --target databricks."
        )
    assert found.config
    return found.config
