"""The endpoint as an ASGI application: `_invoke` is the hot path, `pages` has everything else."""

import asyncio
import multiprocessing
import os
import time
import traceback
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from starlette.types import Receive, Scope, Send

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http import content, limits, protocol
from marvel_kedro.serving.http.access_log import AccessLog
from marvel_kedro.serving.http.auth import Tokens
from marvel_kedro.serving.http.errors import (
    RequestError,
    deadline_exceeded,
    internal_error,
    server_stops,
)
from marvel_kedro.serving.http.invocation import Invocation
from marvel_kedro.serving.http.limits import ClientDisconnectedError, WorkerLimits
from marvel_kedro.serving.http.other_bodies import OtherBodies
from marvel_kedro.serving.http.pages import Pages
from marvel_kedro.serving.http.periodic import repeat, stop_orphan
from marvel_kedro.serving.inference_table.redaction import REDACTED
from marvel_kedro.serving.inference_table.spool import Entry, Spool
from marvel_kedro.serving.lookup import Lookup
from marvel_kedro.serving.models.served_entities import Entities, Served
from marvel_kedro.serving.telemetry import log_streams, metrics
from marvel_kedro.serving.telemetry.opentelemetry import AnsweredRequest, Telemetry

INLINE_BYTES = limits.SMALL_BODY_BYTES
INLINE_RECORDS = 32
"""Larger bodies and batches are processed in a thread, so that other requests do not wait.

Models that this project has not made always score in a thread: a slow one must not delay the
deadlines of other requests.
"""

_TICK_SECONDS = 0.2
_PARENT_SECONDS = 1.0
_REFUSAL_SECONDS = 1.0

_JSON = (b"content-type", b"application/json")
_SIMULATED_TIME = b"x-simulated-time"


class Endpoint:
    """The application of one worker process."""

    def __init__(self, configuration: ServingConfiguration, tokens: Tokens, log: AccessLog) -> None:
        self._limits = configuration.endpoint.limits
        self._server = configuration.server
        self._tokens = tokens
        self._log = log
        table, name = configuration.endpoint.inference_table, configuration.endpoint.name
        self._redact = frozenset(table.redact)
        self._sources = configuration.table.sources
        self._lookup = Lookup(self._server.online_records, configuration.table)
        self._spool = None
        if table.enabled:
            spool_bytes = self._server.spool_bytes
            self._spool = Spool(self._server.spool, table, spool_bytes, _count_dropped)
        self._entities = Entities(configuration, log)
        self._pages = Pages(configuration, self._entities, tokens, log)
        self._telemetry = Telemetry.from_environment(name)
        self._worker_limits = WorkerLimits(self._limits, self._server.threads)
        self._tally = metrics.Tally(configuration.table.target.positive)
        self._other_bodies = OtherBodies(
            self._limits, self._worker_limits, self._entities, self._tally, configuration.table.key
        )
        self._deadlines: dict[asyncio.Task[Any], float] = {}
        self._overdue: set[asyncio.Task[Any]] = set()
        paths = ("/invocations", f"/serving-endpoints/{name}/invocations")
        self._paths = {*paths, *(f"{path}/" for path in paths)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle an ASGI scope."""
        if scope["type"] == "http" and scope["path"] in self._paths:
            await self._invoke(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._pages(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        # Before startup is complete: a worker that replaces another one rejects no request.
        await self._entities.look()
        parent = multiprocessing.parent_process()  # os.getppid() may have changed by now
        loops = [self._entities.follow(), repeat(_TICK_SECONDS, self._tick)]
        if parent and parent.pid:
            loops.append(repeat(_PARENT_SECONDS, stop_orphan, parent.pid))
        if self._spool:
            loops.append(repeat(self._server.flush_seconds, self._spool.rotate))
        tasks = [asyncio.create_task(loop) for loop in loops]
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        if self._deadlines:  # refused with the last ones, see `_respond`
            await asyncio.wait(self._deadlines, timeout=_REFUSAL_SECONDS)
        if self._spool:
            self._spool.rotate()
        self._tick()
        self._telemetry.close()
        self._log.flush()
        log_streams.drain()
        await send({"type": "lifespan.shutdown.complete"})

    def _tick(self) -> None:
        """Cancel overdue requests and publish the counts."""
        now = time.perf_counter()
        for task, deadline in self._deadlines.items():
            if now > deadline and task not in self._overdue:
                self._overdue.add(task)
                task.cancel()
        metrics.IN_PROGRESS.set(len(self._deadlines) + self._worker_limits.abandoned)
        metrics.LOG_LINES_DROPPED.inc(log_streams.take_dropped())
        self._tally.publish()

    async def _invoke(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        call = Invocation(os.urandom(16).hex(), time.time(), dict(scope["headers"]))
        task = asyncio.current_task()
        assert task is not None
        self._deadlines[task] = started + self._limits.seconds
        try:
            await self._respond(call, scope["method"], receive, task)
            seconds = time.perf_counter() - started
            self._write_entry(call, seconds)
        except ClientDisconnectedError:
            metrics.GONE.inc()
            return
        finally:
            del self._deadlines[task]
            self._overdue.discard(task)
            call.body, call.table = b"", None  # the client may read its answer slowly
            if call.reserved_bytes:
                self._worker_limits.release(call)
        try:
            await self._send(call, send)
        finally:  # also if the server stops before the client has read all
            self._report(call, scope["path"], seconds)

    async def _respond(
        self, call: Invocation, method: str, receive: Receive, task: asyncio.Task[Any]
    ) -> None:
        """Fill in the response or the error."""
        try:
            self._check(call, method)
            await self._score(call, receive)
        except RequestError as error:
            self._reject(call, error)
        except asyncio.CancelledError:
            task.uncancel()
            late = task in self._overdue  # else uvicorn ends what still runs after the grace period
            overdue = deadline_exceeded(self._limits.seconds, arrived=call.arrived)
            self._reject(call, overdue if late else server_stops())
        except ClientDisconnectedError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the client always gets an answer
            self._log_fault(call, error)
            self._reject(call, internal_error(call.id))

    def _reject(self, call: Invocation, error: RequestError) -> None:
        if error.__cause__:  # that of a model's own code
            self._log_fault(call, error.__cause__)
        call.status, call.extra_headers = error.status, error.headers
        call.response = error.body
        call.redacted_response = error.redacted_body(self._redact)

    def _log_fault(self, call: Invocation, error: BaseException) -> None:
        at, fault = datetime.fromtimestamp(call.time, UTC), self._cause(error)
        self._log.line(time=at, level="error", request_id=call.id, fault=fault)

    def _cause(self, error: BaseException) -> str:
        """Describe an error for the log; errors of a model's code often quote their input."""
        if not self._redact:
            return repr(error)[:1000]
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {frame.filename}:{frame.lineno}"

    def _check(self, call: Invocation, method: str) -> None:
        """Check everything that does not need the body."""
        if method != "POST":
            raise RequestError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "BAD_REQUEST",
                f"Send POST, not {method}; /docs shows how.",
                ((b"allow", b"POST"),),
            )
        call.requester = self._tokens.requester(call.headers.get(b"authorization"))
        self._worker_limits.check(len(self._deadlines))
        if self._server.accept_simulated_time and _SIMULATED_TIME in call.headers:
            call.simulated_time = protocol.simulated_time(call.headers[_SIMULATED_TIME])
        call.content = content.parse_headers(
            call.headers.get(b"content-type"), call.headers.get(b"content-encoding")
        )

    async def _score(self, call: Invocation, receive: Receive) -> None:
        length = call.headers.get(b"content-length")
        call.body = await self._worker_limits.read_body(call, receive, length)
        call.arrived = True
        records = None
        if call.content is not content.PLAIN_JSON:
            records = await self._other_bodies.read(call)
        if call.body[:1] != b"{" or call.body[1:2] == b"\0":
            sent, call.body = call.body, b""
            call.body = protocol.as_utf8(content.as_sent(sent))
        if self._entities.has_foreign and await self._other_bodies.answer_foreign(call, records):
            return
        if records is None and len(call.body) <= INLINE_BYTES:
            records, call.client_request_id = protocol.read(call.body)
        elif records is None:
            parsed = await self._worker_limits.in_thread(call, protocol.read, call.body)
            records, call.client_request_id = parsed
        call.records = len(records)
        self._worker_limits.check_records(call.records)
        served = call.served = call.served or self._entities.choose(call.client_request_id)
        if call.records <= INLINE_RECORDS:
            scored = self._complete_and_score(served, records)
        else:
            scored = await self._worker_limits.in_thread(
                call, self._complete_and_score, served, records
            )
        call.response = protocol.answer(scored)
        self._tally.records(served.name, served.version, scored)

    def _complete_and_score(
        self, served: Served, records: list[protocol.Record]
    ) -> list[tuple[str, float]]:
        model = served.loaded
        complete = self._lookup.complete(records, model.schema.keys())
        conformed = protocol.conform(complete, model.schema, model.required, self._sources)
        return model.score(conformed)

    def _write_entry(self, call: Invocation, seconds: float) -> None:
        """Write the inference table's entry before the answer is sent: no answer lacks its row."""
        if self._spool is None:
            return
        served, simulated, redacted = call.served, call.simulated_time, call.redacted_response
        self._spool.write(
            Entry(
                databricks_request_id=call.id,
                client_request_id=call.client_request_id,
                request_time=int(call.time * 1e6) if simulated is None else simulated,
                status_code=call.status,
                execution_duration_ms=round(seconds * 1000),
                request=call.body or None,
                response=call.response if redacted is None else redacted,
                served_entity_id=served.id if served else None,
                requester=call.requester,
            )
        )

    async def _send(self, call: Invocation, send: Send) -> None:
        headers = [
            _JSON,
            (b"content-length", str(len(call.response)).encode()),
            (b"x-request-id", call.id.encode()),
            *call.extra_headers,
        ]
        if call.served:
            headers.append((b"served-model-name", call.served.name.encode()))
        await send({"type": "http.response.start", "status": call.status, "headers": headers})
        await send({"type": "http.response.body", "body": call.response})

    def _report(self, call: Invocation, path: str, seconds: float) -> None:
        """Count, trace and log an answered request."""
        entity, version = (call.served.name, call.served.version) if call.served else ("", "")
        self._tally.request(entity, version, call.status, seconds)
        answered = AnsweredRequest(
            path, call.status, call.time, seconds, entity, version, call.records, call.id
        )
        client_request_id = call.client_request_id
        if client_request_id is not None and "client_request_id" in self._redact:
            client_request_id = REDACTED
        self._log.line(
            time=datetime.fromtimestamp(call.time, UTC),
            level="info" if call.status < HTTPStatus.INTERNAL_SERVER_ERROR else "error",
            request_id=call.id,
            trace_id=self._telemetry.record(answered, call.headers.get(b"traceparent")),
            path=path,
            status=call.status,
            duration_ms=round(seconds * 1000, 3),
            records=call.records,
            served_entity=entity or None,
            model_version=version or None,
            client_request_id=client_request_id,
            requester=call.requester,
        )


def _count_dropped(reason: str, requests: int) -> None:
    metrics.DROPPED.labels(reason).inc(requests)
