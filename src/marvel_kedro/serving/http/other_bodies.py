"""Bodies that are compressed, CSV or Parquet, or for models of other origin: all in threads."""

from marvel_kedro.serving.configuration import Limits
from marvel_kedro.serving.http import content, protocol, tables
from marvel_kedro.serving.http.invocation import Invocation
from marvel_kedro.serving.http.limits import WorkerLimits
from marvel_kedro.serving.http.protocol import Record
from marvel_kedro.serving.models.served_entities import Entities
from marvel_kedro.serving.telemetry.metrics import Tally


class OtherBodies:
    """Turns bodies into JSON, which the inference table gets, and answers by foreign models."""

    def __init__(
        self,
        limits: Limits,
        worker_limits: WorkerLimits,
        entities: Entities,
        tally: Tally,
        key: str,
    ) -> None:
        self._limits = limits
        self._worker_limits = worker_limits
        self._entities = entities
        self._tally = tally
        self._key = key

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
            call.body = content.as_sent(body)
        if media_type == content.JSON:
            return None
        call.served = self._entities.choose(None)  # a table has no client_request_id
        model = call.served.loaded
        records, call.body = await in_thread(
            call, tables.read, media_type, body, model.schema, self._key, self._limits
        )
        if not model.is_own:
            call.table = body, media_type
        self._worker_limits.reserve(call, min(limit, len(call.body)))
        return records

    async def answer_foreign(self, call: Invocation, records: list[Record] | None) -> bool:
        """Answer by a model that this project has not made, whose records may be of any form.

        Args:
            call: The request, which gets its served entity.
            records: Those of a table, None for JSON.

        Returns:
            Whether the chosen entity is such a model.
        """
        in_thread = self._worker_limits.in_thread
        if records is None:
            outlined = await in_thread(call, protocol.outline, call.body)
            call.records, call.client_request_id = outlined
            self._worker_limits.check_records(call.records)
        else:
            call.records = len(records)
        served = call.served = call.served or self._entities.choose(call.client_request_id)
        if served.loaded.invoke is None:
            return False
        sent = call.table or (call.body, content.JSON)
        call.response, scored = await in_thread(call, served.loaded.invoke, *sent)
        self._tally.records(served.name, served.version, scored)
        return True
