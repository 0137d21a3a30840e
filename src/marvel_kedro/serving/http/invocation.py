"""One request, from its arrival to its entry in the inference table."""

from dataclasses import dataclass

from marvel_kedro.serving.http.content import PLAIN_JSON, Content
from marvel_kedro.serving.models.served_entities import Served


@dataclass(slots=True)
class Invocation:
    """State of a request.

    Attributes:
        redacted_response: The response for the inference table if it differs from `response`.
        reserved_bytes: See `WorkerLimits`.
        table: CSV or Parquet with its media type, if MLflow's own code reads it.
    """

    id: str
    time: float
    headers: dict[bytes, bytes]
    body: bytes = b""
    arrived: bool = False  # the whole body
    response: bytes = b""
    redacted_response: bytes | None = None
    status: int = 200
    requester: str | None = None
    client_request_id: str | None = None
    served: Served | None = None
    records: int = 0
    extra_headers: tuple[tuple[bytes, bytes], ...] = ()
    simulated_time: int | None = None
    reserved_bytes: int = 0
    content: Content = PLAIN_JSON
    table: tuple[bytes, str] | None = None
