"""Bodies that are compressed, CSV or Parquet: read in threads, away from the path of plain JSON."""

from marvel_kedro.serving.configuration import Limits
from marvel_kedro.serving.http import content, tables
from marvel_kedro.serving.http.invocation import Invocation
from marvel_kedro.serving.http.limits import WorkerLimits
from marvel_kedro.serving.http.protocol import Record
from marvel_kedro.serving.lookup import ID
from marvel_kedro.serving.models.served_entities import Entities


class OtherBodies:
    """Turns the body of a request into JSON, which the inference table gets."""

    def __init__(self, limits: Limits, worker_limits: WorkerLimits, entities: Entities) -> None:
        self._limits = limits
        self._worker_limits = worker_limits
        self._entities = entities

    async def read(self, call: Invocation) -> list[Record] | None:
        """Decompress a body, and read one that is a table.

        Returns:
            The records of a table. None: the call's body is JSON now.

        Raises:
            RequestError: 400, 413, 429 or 503. Then the call's body is what could be read as text.
        """
        (media_type, coding), body = call.content, call.body
        in_thread, limit = self._worker_limits.in_thread, self._limits.body_bytes
        call.body = b""  # binary
        if coding:
            body = await in_thread(call, content.decompress, body, coding, limit)
            self._worker_limits.reserve(call, len(body))
        if media_type != content.PARQUET:
            call.body = body
        if media_type == content.JSON:
            return None
        call.served = self._entities.choose(None)  # a table has no client_request_id
        schema = call.served.loaded.schema
        records, call.body = await in_thread(
            call, tables.read, media_type, body, schema, ID, self._limits
        )
        self._worker_limits.reserve(call, min(limit, len(call.body)))
        return records
