"""An update of what is served: it is set, waited for, tried, and undone if it does not serve."""

import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NoReturn

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import EndpointCoreConfigOutput, ServedEntityInput

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks.endpoint.errors import UnfitError, UntriedError, asking
from marvel_kedro.databricks.endpoint.served_entities import (
    as_input,
    routed_shares,
    served_entities,
    serving_words,
    traffic_config,
)
from marvel_kedro.databricks.endpoint.smoke import smoke
from marvel_kedro.databricks.endpoint.waiting import wait

logger = logging.getLogger(__name__)


def serve(  # noqa: PLR0913 - what to serve, and what to go back to
    client: WorkspaceClient,
    name: str,
    entities: Sequence[ServedEntityInput],
    traffic: Mapping[str, int],
    before: EndpointCoreConfigOutput | None,
    *,
    timeout: timedelta,
    change: bool,
) -> None:
    """Set served entities and traffic, whole as the platform wants them, and see that it serves."""
    if change:
        with asking(name, "updated"):
            client.serving_endpoints.update_config(
                name, served_entities=list(entities), traffic_config=traffic_config(traffic)
            )
        logger.info("The endpoint '%s' is being updated, which may take up to 20 minutes.", name)
    see(client, name, entities, traffic, before, timeout=timeout, changed=change)


def see(  # noqa: PLR0913 - what to see, and what to go back to
    client: WorkspaceClient,
    name: str,
    entities: Sequence[ServedEntityInput],
    traffic: Mapping[str, int],
    before: EndpointCoreConfigOutput | None,
    *,
    timeout: timedelta,
    changed: bool = True,
) -> None:
    """See that an endpoint is ready and answers, or bring back what served before."""
    try:
        wait(client, name, timeout)
        smoke(client, name, [str(entity.name) for entity in entities])
    except UntriedError as fault:
        stands = "The update stands" if changed else "Nothing was changed now"
        raise ProjectError(
            f"{fault}\n{stands}: {serving_words(entities, traffic)}. Nothing was rolled back. "
            "When the endpoint can be reached again, run the same command again: it changes "
            "nothing more and tries it."
        ) from fault
    except UnfitError as fault:
        if not changed:
            raise ProjectError(
                f"{fault}\nNothing of what is served was changed now, so there is nothing to roll "
                "back. Look at the endpoint's logs; to serve another version, move its alias and "
                "deploy again."
            ) from fault
        _roll_back(client, name, before, fault, timeout)


def _roll_back(
    client: WorkspaceClient,
    name: str,
    before: EndpointCoreConfigOutput | None,
    fault: UnfitError,
    timeout: timedelta,
) -> NoReturn:
    """Bring back what served before, and say what went wrong."""
    entities = [as_input(entity) for entity in served_entities(before)]
    if not entities:
        raise ProjectError(
            f"{fault}\nNothing served before, so there is nothing to roll back to: the endpoint is "
            "there and does not serve. Look at its logs, mend what they say, and deploy again: "
            "that repairs it."
        ) from fault
    words = serving_words(entities, routed_shares(before))
    logger.warning("%s Rolling back to %s.", fault, words)
    try:
        with asking(name, "rolled back"):
            client.serving_endpoints.update_config(
                name, served_entities=entities, traffic_config=traffic_config(routed_shares(before))
            )
        wait(client, name, timeout)
    except (ProjectError, UnfitError) as second:
        raise ProjectError(
            f"{fault}\nRolling back to {words} failed, too: {second}\nLook at the endpoint now, "
            "what serves is not sure."
        ) from fault
    raise ProjectError(
        f"{fault}\nRolled back: {words} serves again. Look at the endpoint's logs, mend what they "
        "say, and deploy again; or move the alias back, which still points at what failed."
    ) from fault
