"""The endpoint of the parameters as a served endpoint of a Databricks workspace.

It is made and changed by difference: what is there as described is left alone. Written from the
source of databricks-sdk and from public documentation; no workspace has seen it yet.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import NoReturn, Self

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import (
    BadRequest,
    InvalidState,
    NotFound,
    OperationFailed,
    PermissionDenied,
    ResourceConflict,
    TooManyRequests,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.serving import (
    AiGatewayConfig,
    AiGatewayInferenceTableConfig,
    AiGatewayRateLimit,
    AiGatewayRateLimitKey,
    AiGatewayRateLimitRenewalPeriod,
    DataframeSplitInput,
    EndpointCoreConfigInput,
    EndpointCoreConfigOutput,
    EndpointPendingConfig,
    EndpointStateConfigUpdate,
    EndpointStateReady,
    EndpointTag,
    Route,
    ServedEntityInput,
    ServedEntityOutput,
    ServingEndpointAccessControlRequest,
    ServingEndpointDetailed,
    ServingEndpointPermissionLevel,
    TrafficConfig,
)

from marvel_kedro import explain, remote
from marvel_kedro.errors import ProjectError, without_password
from marvel_kedro.model.inference_log import SMOKE_REQUEST
from marvel_kedro.server.description import EndpointOptions, check_traffic, effective_traffic

logger = logging.getLogger(__name__)

WAIT = timedelta(minutes=20)
"""How long an update may take."""

SMOKE_SECONDS = 600.0
"""For how long a smoke request begins anew that did not reach the endpoint."""

_READY_SECONDS = 5.0
_MOST_SECONDS_BETWEEN = 60.0
_TELL_SECONDS = 30.0
_MOST_OF_AN_ANSWER = 300
_FAILED = (EndpointStateConfigUpdate.UPDATE_FAILED, EndpointStateConfigUpdate.UPDATE_CANCELED)
_FAULTS = (DatabricksError, TimeoutError, requests.RequestException)
# The endpoint has not taken the request, or its answer was lost: that says nothing about it. One
# that took it and kept silent (`requests.ReadTimeout`) is none of these.
_OUT_OF_REACH = (
    requests.ConnectionError,
    requests.exceptions.ChunkedEncodingError,
    TooManyRequests,
)

_AGAIN = "run the same command again: it goes on from what is there."
_OTHER = f"Another deployment changes it at the same time. Wait for its end, then {_AGAIN}"
# By the kind of a refusal; the first that fits counts.
_REMEDIES: dict[type[DatabricksError], str] = {
    ResourceConflict: _OTHER,
    InvalidState: _OTHER,
    NotFound: "Somebody has deleted it, or the model, its version, the catalog or the schema is "
    "not there. Look at endpoint.model (MARVEL_CATALOG, MARVEL_SCHEMA), then run the same command "
    "again: it makes an endpoint that is missing.",
    BadRequest: "Mend the section `endpoint` in conf/*/serving/parameters.yml; if a quota is used "
    "up, delete an endpoint that nobody needs.",
}
_PRIVILEGE = (
    "Have it granted by an owner: CAN MANAGE on the endpoint; USE CATALOG, USE SCHEMA and EXECUTE "
    "ON MODEL for the model; CREATE TABLE ON SCHEMA as well for the inference table."
)


@dataclass(frozen=True)
class Wanted:
    """What is to be there.

    Attributes:
        name: Name of the endpoint.
        entities: What is served.
        traffic: Percentages by served entity, 100 in all.
        table: Where requests and answers are written down; None for nowhere.
        rate_limits: Calls a minute by key.
        tags: Tags that it has among others.
        query_groups: Groups that may query it, among others.
    """

    name: str
    entities: tuple[ServedEntityInput, ...]
    traffic: dict[str, int]
    table: AiGatewayInferenceTableConfig | None
    rate_limits: dict[str, int]
    tags: dict[str, str]
    query_groups: tuple[str, ...]

    @classmethod
    def of(
        cls, endpoint: EndpointOptions, versions: Mapping[str, str], catalog: str, schema: str
    ) -> Self:
        """Say in the platform's words what the description asks for.

        Args:
            endpoint: The description.
            versions: By served entity its version; one without a version gets no traffic.
            catalog: Where the inference table goes.
            schema: Likewise.

        Raises:
            ProjectError: The platform cannot do what is asked for; it names the key.
        """
        table, options = endpoint.inference_table, endpoint.databricks
        if table.enabled and table.redact:
            raise ProjectError(
                f"endpoint.inference_table.redact hides {', '.join(table.redact)}, and the "
                f"inference table of the endpoint '{endpoint.name}' on Databricks cannot hide "
                "fields. Set endpoint.inference_table.enabled: false there, or redact: []."
            )
        if table.enabled and table.sampling_fraction < 1:
            logger.warning(
                "endpoint.inference_table.sampling_fraction does nothing on Databricks: every "
                "request is written down."
            )
        return cls(
            name=endpoint.name,
            entities=tuple(
                ServedEntityInput(
                    name=name,
                    entity_name=endpoint.model,
                    entity_version=version,
                    workload_size=options.workload_size,
                    scale_to_zero_enabled=options.scale_to_zero,
                )
                for name, version in versions.items()
            ),
            traffic=effective_traffic(endpoint.traffic, list(versions)),
            table=AiGatewayInferenceTableConfig(
                catalog_name=catalog,
                schema_name=schema,
                table_name_prefix=table.table_name_prefix,
                enabled=True,
            )
            if table.enabled
            else None,
            rate_limits={limit.key: limit.calls for limit in options.rate_limits},
            tags=options.tags,
            query_groups=options.query_groups,
        )


class _UnfitError(Exception):
    """What was to serve does not: the reason to roll back."""


class _UntriedError(Exception):
    """Whether it serves could not be tried: no reason to."""


def connect() -> WorkspaceClient:
    """Find the workspace and the login, as every Databricks tool does.

    Raises:
        ProjectError: There is no login.
    """
    try:
        return WorkspaceClient()
    except ValueError as error:
        raise ProjectError(
            f"There is no login to a workspace ({_said(error)}). Set DATABRICKS_HOST and "
            "DATABRICKS_TOKEN, or log in: databricks auth login."
        ) from error


def differences(client: WorkspaceClient, wanted: Wanted) -> list[str]:
    """Say what `deploy` would change now; nothing is changed.

    Returns:
        A sentence a difference; none if all is as described.
    """
    return _differences(client, wanted, _find(client, wanted.name))


def _differences(
    client: WorkspaceClient, wanted: Wanted, found: ServingEndpointDetailed | None
) -> list[str]:
    if found is None:
        words = _serving_words(wanted.entities, wanted.traffic)
        return [f"the endpoint '{wanted.name}' is new: {words}"]
    return [
        *config_difference(wanted, found),
        *gateway_difference(wanted, found.ai_gateway),
        *(f"tag {key}: {value}" for key, value in _missing_tags(wanted, found).items()),
        *(f"{group} may query it" for group in _missing_groups(client, wanted, found)),
    ]


def deploy(client: WorkspaceClient, wanted: Wanted, timeout: timedelta = WAIT) -> list[str]:
    """Make the endpoint, or what differs of it, and see that every served entity answers.

    An update that is under way is waited for. What a deployment that died has left is completed.
    Where the new served entities do not come up or do not answer, what served before is brought
    back.

    Args:
        client: The workspace.
        wanted: What is to be there.
        timeout: How long an update may take.

    Returns:
        What was changed, a sentence each; none if all was as described.

    Raises:
        ProjectError: It names the endpoint, what failed, what serves now and the remedy.
    """
    found = _settled(client, wanted.name, timeout)
    done = _differences(client, wanted, found)
    if found is None:
        gateway = _gateway(wanted, None)
        with _asking(wanted.name, "made"):
            client.serving_endpoints.create(
                wanted.name,
                config=EndpointCoreConfigInput(
                    name=wanted.name,
                    served_entities=list(wanted.entities),
                    traffic_config=_traffic_config(wanted.traffic),
                ),
                ai_gateway=gateway if gateway.as_dict() else None,
                tags=[EndpointTag(key, value) for key, value in wanted.tags.items()],
            )
        _grant(client, wanted)
        _see(client, wanted.name, wanted.entities, wanted.traffic, None, timeout=timeout)
        return done
    _put_gateway(client, wanted, found)
    if tags := _missing_tags(wanted, found):
        with _asking(wanted.name, "tagged"):
            added = [EndpointTag(key, value) for key, value in tags.items()]
            client.serving_endpoints.patch(wanted.name, add_tags=added)
    _grant(client, wanted)
    _serve(
        client,
        wanted.name,
        wanted.entities,
        wanted.traffic,
        found.config,
        timeout=timeout,
        change=bool(config_difference(wanted, found)),
    )
    return done


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
    return _shares_of_all(_settled_config(client, name, timeout))


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
    entities = [_as_input(entity) for entity in _served(found)]
    served = [str(entity.name) for entity in entities]
    described = [entity.name for entity in endpoint.served_entities]
    try:
        check_traffic(traffic, list(dict.fromkeys([*described, *served])))
    except ValueError as error:
        raise ProjectError(f"The endpoint '{endpoint.name}': {error}.") from error
    shares = effective_traffic(traffic, served)
    _serve(
        client,
        endpoint.name,
        entities,
        shares,
        found,
        timeout=timeout,
        change=_shares_of_all(found) != shares,
    )
    return shares


def _settled_config(
    client: WorkspaceClient, name: str, timeout: timedelta
) -> EndpointCoreConfigOutput:
    """What an endpoint serves, which is something."""
    found = _settled(client, name, timeout)
    if found is None or not _served(found.config):
        raise ProjectError(
            f"The endpoint '{name}' serves nothing. Make it: kedro deploy --target databricks."
        )
    assert found.config
    return found.config


def _shares_of_all(config: EndpointCoreConfigOutput) -> dict[str, int]:
    """Likewise `_shares`, with those who get nothing, and who is alone and needs no route."""
    return effective_traffic(_shares(config), [str(entity.name) for entity in _served(config)])


def config_difference(wanted: Wanted, found: ServingEndpointDetailed) -> list[str]:
    """What of served entities and traffic is not as described, a sentence each."""
    there = {entity.name: _key(entity) for entity in _served(found.config)}
    asked = {entity.name: _key(entity) for entity in wanted.entities}
    told = [
        f"{name}: {_entity_words(there.get(name))} -> {_entity_words(asked.get(name))}"
        for name in dict.fromkeys([*there, *asked])
        if there.get(name) != asked.get(name)
    ]
    shares = _shares(found.config)
    if _without_zeros(shares) != _without_zeros(wanted.traffic):
        told.append(f"traffic: {_traffic_words(shares)} -> {_traffic_words(wanted.traffic)}")
    if not told and found.state and found.state.config_update in _FAILED:
        told.append("the last update has failed: what is described is set again")
    return told


def gateway_difference(wanted: Wanted, there: AiGatewayConfig | None) -> list[str]:
    """What of the inference table and the rate limits is not as described, a sentence each."""
    told = []
    table = _enabled_table(there)
    if table != wanted.table:
        told.append(f"inference table: {_table_words(table)} -> {_table_words(wanted.table)}")
    limits = {
        (limit.key.value if limit.key else "endpoint"): limit.calls or 0
        for limit in (there and there.rate_limits) or ()
    }
    if limits != wanted.rate_limits:
        told.append(f"calls a minute: {limits or 'no limit'} -> {wanted.rate_limits or 'no limit'}")
    return told


def _find(client: WorkspaceClient, name: str) -> ServingEndpointDetailed | None:
    with _asking(name, "looked at"):
        try:
            return client.serving_endpoints.get(name)
        except NotFound:
            return None


def _settled(
    client: WorkspaceClient, name: str, timeout: timedelta
) -> ServingEndpointDetailed | None:
    """The endpoint, after the end of an update that is under way."""
    found = _find(client, name)
    if not (
        found and found.state and found.state.config_update is EndpointStateConfigUpdate.IN_PROGRESS
    ):
        return found
    logger.info("The endpoint '%s' is being updated already: waiting for the end of that.", name)
    try:
        return _wait_for_update(client, name, timeout, _Watch(name))
    except _UnfitError as fault:
        logger.warning("%s", fault)
        return _find(client, name)


def _serve(  # noqa: PLR0913 - what to serve, and what to go back to
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
        with _asking(name, "updated"):
            client.serving_endpoints.update_config(
                name, served_entities=list(entities), traffic_config=_traffic_config(traffic)
            )
        logger.info("The endpoint '%s' is being updated, which may take up to 20 minutes.", name)
    _see(client, name, entities, traffic, before, timeout=timeout, changed=change)


def _see(  # noqa: PLR0913 - what to see, and what to go back to
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
        _wait(client, name, timeout)
        _smoke(client, name, [str(entity.name) for entity in entities])
    except _UntriedError as fault:
        stands = "The update stands" if changed else "Nothing was changed now"
        raise ProjectError(
            f"{fault}\n{stands}: {_serving_words(entities, traffic)}. Nothing was rolled back. "
            "When the endpoint can be reached again, run the same command again: it changes "
            "nothing more and tries it."
        ) from fault
    except _UnfitError as fault:
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
    fault: _UnfitError,
    timeout: timedelta,
) -> NoReturn:
    """Bring back what served before, and say what went wrong."""
    entities = [_as_input(entity) for entity in _served(before)]
    if not entities:
        raise ProjectError(
            f"{fault}\nNothing served before, so there is nothing to roll back to: the endpoint is "
            "there and does not serve. Look at its logs, mend what they say, and deploy again: "
            "that repairs it."
        ) from fault
    words = _serving_words(entities, _shares(before))
    logger.warning("%s Rolling back to %s.", fault, words)
    try:
        with _asking(name, "rolled back"):
            client.serving_endpoints.update_config(
                name, served_entities=entities, traffic_config=_traffic_config(_shares(before))
            )
        _wait(client, name, timeout)
    except (ProjectError, _UnfitError) as second:
        raise ProjectError(
            f"{fault}\nRolling back to {words} failed, too: {second}\nLook at the endpoint now, "
            "what serves is not sure."
        ) from fault
    raise ProjectError(
        f"{fault}\nRolled back: {words} serves again. Look at the endpoint's logs, mend what they "
        "say, and deploy again; or move the alias back, which still points at what failed."
    ) from fault


def _wait(client: WorkspaceClient, name: str, timeout: timedelta) -> None:
    """Wait for the end of an update, and for the endpoint to take requests.

    The SDK's waiter does not look at `state.ready`.

    Raises:
        _UnfitError: The update failed, or the endpoint does not get ready in time.
        ProjectError: The update is not over in time, or cannot be watched any more.
    """
    end = time.monotonic() + timeout.total_seconds()
    watch = _Watch(name)
    found = _wait_for_update(client, name, timeout, watch)
    while not (found.state and found.state.ready is EndpointStateReady.READY):
        watch(found)
        if time.monotonic() >= end:
            raise _UnfitError(
                f"The endpoint '{name}' is not ready after {timeout}. {watch.said}".strip()
            )
        time.sleep(_READY_SECONDS)
        with _watching(name):
            found = client.serving_endpoints.get(name)


def _wait_for_update(
    client: WorkspaceClient, name: str, timeout: timedelta, watch: "_Watch"
) -> ServingEndpointDetailed:
    with _watching(name):
        try:
            return client.serving_endpoints.wait_get_serving_endpoint_not_updating(
                name, timeout, watch
            )
        except OperationFailed as error:
            raise _UnfitError(
                f"The update of the endpoint '{name}' failed. {watch.said}".strip()
            ) from error
        except TimeoutError as error:
            raise ProjectError(
                f"The update of the endpoint '{name}' is not over after {timeout}. {watch.said} It "
                "goes on in the workspace; what served before serves until then. Look at the "
                f"endpoint's logs, or {_AGAIN}"
            ) from error


def _watching(name: str) -> AbstractContextManager[None]:
    return _asking(name, "watched any longer; its update goes on without that")


class _Watch:
    """Tells how an update goes: when something new is said, and every half a minute."""

    def __init__(self, name: str) -> None:
        self.said = ""
        self._name = name
        self._started = self._told = time.monotonic()

    def __call__(self, found: ServingEndpointDetailed) -> None:
        said = _deployment_words(found)
        now = time.monotonic()
        if said != self.said or now - self._told >= _TELL_SECONDS:
            self.said, self._told = said, now
            seconds = int(now - self._started)
            logger.info("%4d s  %s: %s", seconds, self._name, said or "updating ..")


def _smoke(client: WorkspaceClient, name: str, entities: Sequence[str]) -> None:
    """Send the example to the endpoint, and to each served entity whatever its traffic is.

    Raises:
        _UnfitError: One refuses it, keeps silent, or answers without a prediction.
        _UntriedError: One could not be reached for a while.
        ProjectError: The token was not taken.
    """
    from marvel_kedro.model.package import EXAMPLE  # noqa: PLC0415 - imports MLflow

    record = EXAMPLE.to_dict(orient="split", index=False)
    sent = DataframeSplitInput(columns=record["columns"], data=record["data"])

    def of_endpoint() -> object:
        return client.serving_endpoints.query(
            name, client_request_id=SMOKE_REQUEST, dataframe_split=sent
        ).predictions

    def of_entity(entity: str) -> object:
        return client.api_client.do(
            "POST",
            f"/serving-endpoints/{name}/served-models/{entity}/invocations",
            body={"dataframe_split": sent.as_dict(), "client_request_id": SMOKE_REQUEST},
        ).get("predictions")

    end = time.monotonic() + SMOKE_SECONDS
    asked: dict[str, Callable[[], object]] = {name: of_endpoint}
    asked |= {f"{name}/{entity}": partial(of_entity, entity) for entity in entities}
    for who, ask in asked.items():
        predictions = _answer(name, who, ask, end)
        if not isinstance(predictions, list) or len(predictions) != len(record["data"]):
            raise _UnfitError(
                f"The endpoint '{name}' answers the smoke request ({who}) without a prediction."
            )
    logger.info("The endpoint '%s' answers, and so does %s.", name, ", ".join(entities))


def _answer(name: str, who: str, ask: Callable[[], object], end: float) -> object:
    """Ask until somebody answers, with a refusal even; after `end` no try begins."""
    wait = _READY_SECONDS
    while True:
        try:
            return ask()
        except _FAULTS as error:
            # Where the SDK has tried for minutes, the cause is what its last try met.
            fault = (error.__cause__ if isinstance(error, TimeoutError) else None) or error
            said = _said(fault)
            if remote.refusal(error) == "token":
                with _asking(name, "asked for a prediction"):
                    raise
            if not isinstance(fault, _OUT_OF_REACH):
                raise _UnfitError(
                    f"The endpoint '{name}' does not answer the smoke request ({who}): {said}"
                ) from error
            if time.monotonic() >= end:
                raise _UntriedError(
                    f"The endpoint '{name}' could not be tried ({who}): {said}"
                ) from error
        logger.warning("%s cannot be asked (%s): again in %d seconds.", who, said, wait)
        time.sleep(wait)
        wait = min(2 * wait, _MOST_SECONDS_BETWEEN)


def _put_gateway(client: WorkspaceClient, wanted: Wanted, found: ServingEndpointDetailed) -> None:
    """Set inference table and rate limits; guardrails and the like stay as they are."""
    there = found.ai_gateway
    if not gateway_difference(wanted, there):
        return
    asked = [_gateway(wanted, there)]
    table = _enabled_table(there)
    if table and wanted.table and table != wanted.table:
        # The platform changes its names only while it is off.
        asked.insert(0, _gateway(replace(wanted, table=None), there))
    for gateway in asked:
        with _asking(wanted.name, "given its inference table and rate limits"):
            client.serving_endpoints.put_ai_gateway(
                wanted.name,
                fallback_config=gateway.fallback_config,
                guardrails=gateway.guardrails,
                inference_table_config=gateway.inference_table_config,
                rate_limits=gateway.rate_limits,
                usage_tracking_config=gateway.usage_tracking_config,
            )


def _gateway(wanted: Wanted, there: AiGatewayConfig | None) -> AiGatewayConfig:
    table = _enabled_table(there)
    return AiGatewayConfig(
        fallback_config=there.fallback_config if there else None,
        guardrails=there.guardrails if there else None,
        usage_tracking_config=there.usage_tracking_config if there else None,
        inference_table_config=wanted.table or (replace(table, enabled=False) if table else None),
        rate_limits=[
            AiGatewayRateLimit(
                renewal_period=AiGatewayRateLimitRenewalPeriod.MINUTE,
                key=AiGatewayRateLimitKey(key),
                calls=calls,
            )
            for key, calls in wanted.rate_limits.items()
        ],
    )


def _enabled_table(there: AiGatewayConfig | None) -> AiGatewayInferenceTableConfig | None:
    table = there.inference_table_config if there else None
    return table if table and table.enabled else None


def _missing_tags(wanted: Wanted, found: ServingEndpointDetailed) -> dict[str, str]:
    there = {tag.key: tag.value for tag in found.tags or ()}
    return {key: value for key, value in wanted.tags.items() if there.get(key) != value}


def _missing_groups(
    client: WorkspaceClient, wanted: Wanted, found: ServingEndpointDetailed
) -> list[str]:
    if not wanted.query_groups:
        return []
    with _asking(wanted.name, "asked who may query it"):
        lists = client.serving_endpoints.get_permissions(str(found.id)).access_control_list
    enough = {ServingEndpointPermissionLevel.CAN_QUERY, ServingEndpointPermissionLevel.CAN_MANAGE}
    may = {
        entry.group_name
        for entry in lists or ()
        if enough & {held.permission_level for held in entry.all_permissions or ()}
    }
    return [group for group in wanted.query_groups if group not in may]


def _grant(client: WorkspaceClient, wanted: Wanted) -> None:
    """Let the groups query the endpoint that are not yet allowed to."""
    found = _find(client, wanted.name) if wanted.query_groups else None
    groups = _missing_groups(client, wanted, found) if found else []
    if not (found and groups):
        return
    with _asking(wanted.name, f"opened to {', '.join(groups)}"):
        client.serving_endpoints.update_permissions(
            str(found.id),
            access_control_list=[
                ServingEndpointAccessControlRequest(
                    group_name=group, permission_level=ServingEndpointPermissionLevel.CAN_QUERY
                )
                for group in groups
            ],
        )


@contextmanager
def _asking(name: str, what: str) -> Iterator[None]:
    """Make one message of what the workspace refuses: endpoint, fault and remedy."""
    try:
        yield
    except _FAULTS as error:
        raise ProjectError(
            f"The endpoint '{name}' could not be {what}. Databricks says: {_said(error)}\n"
            f"{_remedy(error)}"
        ) from error


def _remedy(error: Exception) -> str:
    refusal = remote.refusal(error)
    if isinstance(error, PermissionDenied) and refusal != "token":
        return _PRIVILEGE
    for kind, remedy in _REMEDIES.items():
        if isinstance(error, kind):
            return remedy
    return explain.WORKSPACE_REMEDIES[refusal]


def _said(error: BaseException) -> str:
    text = without_password(str(error)).partition(" Config: host=")[0]
    return " ".join(text.split())[:_MOST_OF_AN_ANSWER]


def _served(
    config: EndpointCoreConfigOutput | EndpointPendingConfig | None,
) -> list[ServedEntityOutput]:
    return (config.served_entities if config else None) or []


def _shares(config: EndpointCoreConfigOutput | None) -> dict[str, int]:
    """Who gets how much of the traffic; older endpoints call a served entity a model."""
    routes = config.traffic_config.routes if config and config.traffic_config else None
    return {
        str(route.served_entity_name or route.served_model_name): int(route.traffic_percentage)
        for route in routes or ()
    }


def _without_zeros(shares: Mapping[str, int]) -> dict[str, int]:
    return {name: share for name, share in shares.items() if share}


def _traffic_config(traffic: Mapping[str, int]) -> TrafficConfig | None:
    if not traffic:  # of one served entity, which needs none
        return None
    return TrafficConfig(
        routes=[
            Route(served_entity_name=name, traffic_percentage=share)
            for name, share in traffic.items()
        ]
    )


def _as_input(entity: ServedEntityOutput) -> ServedEntityInput:
    """What was served, as it is asked for."""
    asked = ServedEntityInput.from_dict(entity.as_dict())
    if asked.workload_size:  # the platform takes a size or these
        asked.min_provisioned_concurrency = asked.max_provisioned_concurrency = None
    return asked


def _key(entity: ServedEntityInput | ServedEntityOutput) -> tuple[str, str, str, bool]:
    """What the description says of a served entity."""
    return (
        str(entity.entity_name),
        str(entity.entity_version),
        str(entity.workload_size),
        bool(entity.scale_to_zero_enabled),
    )


def _entity_words(key: tuple[str, str, str, bool] | None) -> str:
    if key is None:
        return "nothing"
    model, version, size, to_zero = key
    return f"{model} version {version} ({size}{', to zero' if to_zero else ''})"


def _traffic_words(traffic: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {share} %" for name, share in traffic.items()) or "none"


def _table_words(table: AiGatewayInferenceTableConfig | None) -> str:
    if table is None:
        return "none"
    return f"{table.catalog_name}.{table.schema_name}.{table.table_name_prefix}_payload"


def _serving_words(
    entities: Sequence[ServedEntityInput | ServedEntityOutput], traffic: Mapping[str, int]
) -> str:
    versions = ", ".join(f"{entity.name} version {entity.entity_version}" for entity in entities)
    return f"{versions} (traffic: {_traffic_words(traffic)})"


def _deployment_words(found: ServingEndpointDetailed) -> str:
    """What the platform says of the served entities that are not up."""
    entities = _served(found.pending_config) or _served(found.config)
    said = [
        f"{entity.name} version {entity.entity_version}: {entity.state.deployment_state_message}"
        for entity in entities
        if entity.state and entity.state.deployment_state_message
    ]
    return without_password("; ".join(said))[:_MOST_OF_AN_ANSWER]
