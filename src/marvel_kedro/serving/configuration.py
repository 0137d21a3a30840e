"""What the endpoint is: one description for a process, a container and a Databricks endpoint."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from marvel_kedro.core.options import Options
from marvel_kedro.model.aliases import TRAFFIC_TAG

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,63}$")]
"""What Databricks takes for endpoints and served entities."""

Percent = Annotated[int, Field(ge=0, le=100)]


class ServedEntity(Options):
    """A version of the model that is served under a name: the one of an alias, or a fixed one."""

    name: Name
    alias: str | None = None
    version: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.alias is None) == (self.version is None):
            raise ValueError(f"the served entity {self.name} needs an alias or a version, not both")
        return self


class InferenceTableOptions(Options):
    """What is written down of requests and answers.

    Attributes:
        enabled: Whether anything is.
        table_name_prefix: Name of the table; Databricks adds `_payload`.
        sampling_fraction: Share of the requests that is written down.
        max_body_bytes: Of a longer body only the error code is written down, as on Databricks.
        redact: Fields whose values are written down nowhere: neither in the table, in refusals that
            quote them, nor in the log.
    """

    enabled: bool = True
    table_name_prefix: Name = "inference"
    sampling_fraction: float = Field(default=1.0, gt=0, le=1)
    max_body_bytes: int = Field(default=1024**2, gt=0)
    redact: tuple[str, ...] = ()


class Limits(Options):
    """What is refused.

    Attributes:
        body_bytes: Longer bodies: 413.
        records: More records in a request: 400.
        concurrency: More requests at once in a worker, a batch that goes on after its 504
            included: 429.
        held_bytes: More bytes of bodies above 64 KiB at once in a worker: 429. Records of nine
            fields take three times the bytes of their body once it is read, tiny lists 25 times.
        seconds: What takes longer: 504.
        retry_after: After how many seconds a client may come again, said with a 429.
    """

    body_bytes: int = Field(default=16 * 1024**2, gt=0)
    records: int = Field(default=10_000, gt=0)
    concurrency: int = Field(default=256, gt=0)
    held_bytes: int = Field(default=64 * 1024**2, gt=0)
    seconds: float = Field(default=60.0, gt=0)
    retry_after: int = Field(default=1, ge=0)

    @model_validator(mode="after")
    def _every_body_can_be_held(self) -> Self:
        if self.held_bytes < self.body_bytes:
            raise ValueError(
                f"held_bytes ({self.held_bytes}) is less than body_bytes ({self.body_bytes}): "
                "some bodies would be refused for ever"
            )
        return self


class RateLimit(Options):
    """Calls a minute on Databricks' AI Gateway."""

    calls: int = Field(gt=0)
    key: Literal["endpoint", "user"] = "endpoint"


class DatabricksOptions(Options):
    """What only the managed endpoint has.

    Attributes:
        workload_size: How many requests it can answer at once, by the platform's sizes.
        scale_to_zero: Whether it stands still, and costs nothing, while nobody asks.
        rate_limits: Calls that are let through.
        tags: Tags of the endpoint, which reach the bill.
        query_groups: Groups of the workspace that may query it.
    """

    workload_size: Literal["Small", "Medium", "Large"] = "Small"
    scale_to_zero: bool = True
    rate_limits: tuple[RateLimit, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)
    query_groups: tuple[str, ...] = ()


class EndpointOptions(Options):
    """The section `endpoint` of the parameters.

    Attributes:
        name: Name of the endpoint, part of its address.
        model: The registered model.
        served_entities: What is served; the name is what `traffic` and the answers call it.
        traffic: Percentages by served entity, 100 in all.
        inference_table: What is written down.
        limits: What is refused.
        databricks: What only the managed endpoint has.
    """

    name: Name
    model: str
    served_entities: Annotated[tuple[ServedEntity, ...], Field(min_length=1)]
    traffic: dict[Name, Percent]
    inference_table: InferenceTableOptions = InferenceTableOptions()
    limits: Limits = Limits()
    databricks: DatabricksOptions = DatabricksOptions()

    @model_validator(mode="after")
    def _routes_are_sound(self) -> Self:
        names = [entity.name for entity in self.served_entities]
        if len(set(names)) < len(names):
            raise ValueError("two served entities have the same name")
        check_traffic(self.traffic, names)
        return self


def check_traffic(traffic: dict[str, int], names: Sequence[str]) -> None:
    """Refuse percentages that do not add up, or that go to somebody who is not served.

    Raises:
        ValueError: It names the entity, or the sum.
    """
    strangers = sorted(set(traffic) - set(names))
    if strangers:
        raise ValueError(
            f"traffic goes to {', '.join(strangers)}, which is not served: {', '.join(names)}"
        )
    if any(not 0 <= share <= 100 for share in traffic.values()):  # noqa: PLR2004 - per cent
        raise ValueError("a share of the traffic is from 0 to 100")
    if sum(traffic.values()) != 100:  # noqa: PLR2004 - per cent
        raise ValueError(f"traffic adds up to {sum(traffic.values())}, not to 100")


def traffic_tag(endpoint: str) -> str:
    """The tag of the registered model that shares the traffic out anew, while servers run."""
    return TRAFFIC_TAG.format(endpoint)


def effective_traffic(traffic: Mapping[str, int], available: Sequence[str]) -> dict[str, int]:
    """Share out the traffic among those who can answer.

    What the others would have got goes to them in proportion to what they have; in equal parts if
    all of them have nothing. Largest remainders are rounded up, the first of equal ones first, so
    that whole percentages add up.

    Args:
        traffic: Percentages by served entity, 100 in all.
        available: The served entities that have a version, in the order of the description.

    Returns:
        A percentage for each that is available, 100 in all; nothing if none is.
    """
    shares = {name: traffic.get(name, 0) for name in available}
    if not any(shares.values()):
        shares = dict.fromkeys(available, 1)
    total = sum(shares.values())
    percent = {name: 100 * share // total for name, share in shares.items()}
    by_remainder = sorted(shares, key=lambda name: -(100 * shares[name] % total))
    for name in by_remainder[: 100 - sum(percent.values())]:
        percent[name] += 1
    return percent


class ServerOptions(Options):
    """The section `server` of the parameters: how the endpoint runs on a machine of one's own.

    Attributes:
        host: Address to listen on; 0.0.0.0 is everywhere.
        port: Port; 0 is any that is free.
        workers: Processes that answer.
        threads: Threads of each for what is large: more batches and bodies wait for their turn.
        folder: Where the server keeps what is not yet in the inference table.
        models: Where it keeps versions of the model, and which of them are served.
        ask_registry: Whether the registry is asked; else `models` has what is served, for good.
        accept_simulated_time: Whether clients may say when a request is made: for simulations only.
        inference_table: Folder of the Delta table.
        characters: The file that completes records which have only a `page_id`.
        monitoring_metrics: The file of monitoring's metrics that /metrics has as well, if it is
            there; None is none.
        poll_seconds: How often the registry is asked whether an alias has moved.
        flush_seconds: How often requests are moved to the inference table.
        compact_files: From how many small files of a day on they are joined.
        spool_bytes: How much may wait for the inference table before requests are not written down.
        grace_seconds: How long a server that stops waits for what it has begun.
    """

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    workers: int = Field(default=1, ge=1)
    threads: int = Field(default=4, ge=1)
    folder: Path
    models: Path
    ask_registry: bool = True
    accept_simulated_time: bool = False
    inference_table: Path
    characters: Path
    monitoring_metrics: Path | None = None
    poll_seconds: float = Field(default=5.0, gt=0)
    flush_seconds: float = Field(default=5.0, gt=0)
    compact_files: int = Field(default=20, ge=2)
    spool_bytes: int = Field(default=1024**3, gt=0)
    grace_seconds: float = Field(default=30.0, gt=0)

    @property
    def url(self) -> str:
        """Where this machine reaches the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


class Description(Options):
    """What a server is started with."""

    endpoint: EndpointOptions
    server: ServerOptions
