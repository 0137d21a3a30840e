"""The endpoint's configuration, shared by a process, a container and a Databricks endpoint."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from marvel_kedro.core.options import Options
from marvel_kedro.model.aliases import TRAFFIC_TAG
from marvel_kedro.serving.traffic_split import validate_shares
from marvel_kedro.table.description import TableSpec

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,63}$")]
"""The names that Databricks accepts for endpoints and served entities."""


class ServedEntity(Options):
    """A version under the name that traffic and answers use: that of an alias, or a fixed one."""

    name: Name
    alias: str | None = None
    version: str | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.alias is None) == (self.version is None):
            raise ValueError(f"the served entity {self.name} needs an alias or a version, not both")
        return self


class InferenceTableOptions(Options):
    """The inference table: which requests and answers are logged."""

    enabled: bool = True
    table_name_prefix: Name = "inference"  # name of the table; Databricks adds `_payload`
    sampling_fraction: float = Field(default=1.0, gt=0, le=1)  # share of requests that is logged
    max_body_bytes: int = Field(default=1024**2, gt=0)  # longer: an error code, as on Databricks
    # Fields whose values are stored nowhere: neither in the table, in error messages that quote
    # them, nor in the log.
    redact: tuple[str, ...] = ()


class Limits(Options):
    """The limits above which requests are rejected, with the status of the answer."""

    body_bytes: int = Field(default=16 * 1024**2, gt=0)  # bytes of a body, also decompressed: 413
    records: int = Field(default=10_000, gt=0)  # records of a request: 400
    # Concurrent requests per worker, counting batches that still run after a 504: 429.
    concurrency: int = Field(default=256, gt=0)
    # Bytes of bodies above 64 KiB that a worker holds at a time: 429. Parsed records of nine fields
    # take three times the bytes of their body, tiny lists 25 times.
    held_bytes: int = Field(default=64 * 1024**2, gt=0)
    seconds: float = Field(default=60.0, gt=0)  # duration of a request: 504
    retry_after: int = Field(default=1, ge=0)  # seconds in the `Retry-After` header of a 429

    @model_validator(mode="after")
    def _every_body_fits(self) -> Self:
        if self.held_bytes < self.body_bytes:
            raise ValueError(
                f"held_bytes ({self.held_bytes}) is less than body_bytes ({self.body_bytes}): "
                "some bodies would always be rejected"
            )
        return self


class RateLimit(Options):
    """Calls per minute on Databricks' AI Gateway."""

    calls: int = Field(gt=0)
    key: Literal["endpoint", "user"] = "endpoint"


class DatabricksOptions(Options):
    """Settings of the managed endpoint alone."""

    workload_size: Literal["Small", "Medium", "Large"] = "Small"  # concurrency of a served entity
    scale_to_zero: bool = True  # an entity stops, and costs nothing, while idle
    rate_limits: tuple[RateLimit, ...] = ()
    tags: dict[str, str] = Field(default_factory=dict)  # of the endpoint, which appear on the bill
    query_groups: tuple[str, ...] = ()  # groups of the workspace that may query it


class EndpointOptions(Options):
    """The section `endpoint` of the parameters."""

    name: Name  # part of its address
    model: str  # the registered model
    served_entities: Annotated[tuple[ServedEntity, ...], Field(min_length=1)]
    traffic: dict[Name, Annotated[int, Field(ge=0, le=100)]]  # by served entity, 100 in all
    inference_table: InferenceTableOptions = InferenceTableOptions()
    limits: Limits = Limits()
    databricks: DatabricksOptions = DatabricksOptions()

    @property
    def entity_names(self) -> list[str]:
        """The names of the served entities, in their order."""
        return [entity.name for entity in self.served_entities]

    @model_validator(mode="after")
    def _routes_are_valid(self) -> Self:
        if len(set(self.entity_names)) < len(self.served_entities):
            raise ValueError("two served entities have the same name")
        validate_shares(self.traffic, self.entity_names)
        return self

    def retired_versions(self, aliases: Mapping[str, set[str]]) -> set[str]:
        """Return the versions that neither answer here, nor are champion or challenger.

        `aliases` are those in the registry, by version.
        """
        entities = self.served_entities
        fixed = {str(entity.version) for entity in entities}
        names = {"champion", "challenger", *(entity.alias for entity in entities)}
        return {*aliases} - {number for number, own in aliases.items() if own & names} - fixed

    def current_traffic(self, tags: Mapping[str, str]) -> dict[str, int]:
        """Return the shares in effect: those of the registered model's tag, else the configured.

        Raises:
            ValueError: The tag is no JSON object of valid shares; the message has the remedy.
        """
        tag = TRAFFIC_TAG.format(self.name)
        if not tags.get(tag):
            return dict(self.traffic)
        try:
            shares = {str(name): int(share) for name, share in json.loads(tags[tag]).items()}
            validate_shares(shares, self.entity_names)
        except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError) as error:
            raise ValueError(
                f"the tag {tag} of the model {self.model} is no traffic split ({error}); set it "
                "again (kedro endpoint shift) or go back to the parameters (kedro endpoint reset)"
            ) from error
        return shares


class ServerOptions(Options):
    """The section `server` of the parameters: the server that runs outside Databricks."""

    host: str = "127.0.0.1"  # address to listen on; 0.0.0.0 is every address of the machine
    port: int = Field(default=8080, ge=0, le=65535)  # 0 is any free one
    allow_anonymous: bool = False  # clients beyond this machine need no token
    workers: int = Field(default=1, ge=1)  # processes that answer requests
    threads: int = Field(default=4, ge=1)  # per worker for large requests; more wait in a queue
    folder: Path  # state of one server at a time: lock, counters, spool
    models: Path  # folder of the fetched model versions and of `deployment.json`
    ask_registry: bool = True  # whether it is polled; if not, `models` holds what is served
    accept_simulated_time: bool = False  # clients may set a request's time: for simulations only
    inference_table: Path  # folder of the Delta table
    online_records: Path  # the file that completes records which have only their key
    monitoring_metrics: Path | None = None  # the file that /metrics includes if it exists
    poll_seconds: float = Field(default=5.0, gt=0)  # between two looks at the registry
    flush_seconds: float = Field(default=5.0, gt=0)  # between two writes to the inference table
    compact_files: int = Field(default=20, ge=2)  # small files of a day before compaction
    spool_bytes: int = Field(default=1024**3, gt=0)  # of waiting requests; above it none is logged
    # For requests in progress at the stop: at least `limits.seconds`, which they may take.
    grace_seconds: float = Field(default=65.0, gt=0)

    @property
    def spool(self) -> Path:
        """Folder of the requests that are not yet in the inference table."""
        return self.folder / "spool"

    @property
    def address_file(self) -> Path:
        """File with the address on this machine of the server that runs."""
        return self.folder / "address"

    @property
    def url(self) -> str:
        """The server's address on this machine; while none runs, that of the parameters."""
        with suppress(OSError):
            return self.address_file.read_text("utf-8")
        return self.url_of(self.port)

    def url_of(self, port: int) -> str:
        """Return the address on this machine for a port."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class ServingConfiguration(Options):
    """The configuration of a server process: three sections of the parameters."""

    table: TableSpec
    endpoint: EndpointOptions
    server: ServerOptions

    def below(self, project: Path) -> Self:
        """Return the configuration with relative paths below the folder `project`."""
        paths = {name: path for name, path in self.server if isinstance(path, Path)}
        absolute = {name: (project / path.expanduser()).resolve() for name, path in paths.items()}
        return self.model_copy(update={"server": self.server.model_copy(update=absolute)})

    @model_validator(mode="after")
    def _grace_suffices(self) -> Self:
        grace, limit = self.server.grace_seconds, self.endpoint.limits.seconds
        if grace < limit:
            raise ValueError(
                f"server.grace_seconds ({grace:g}) is less than endpoint.limits.seconds "
                f"({limit:g}): a stop would refuse requests that are within their limit"
            )
        return self
