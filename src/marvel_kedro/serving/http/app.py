"""The endpoint as an ASGI application: `invoke` is the hot path, everything else is in `pages`."""

import asyncio
import logging
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Any

from marvel_kedro.serving import lookup
from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http import auth, protocol
from marvel_kedro.serving.http.access_log import AccessLog, moment
from marvel_kedro.serving.http.auth import ClientGoneError, Tokens
from marvel_kedro.serving.http.concurrency import Capacity
from marvel_kedro.serving.http.errors import Refusal, invalid_value, own_fault
from marvel_kedro.serving.http.pages import Pages
from marvel_kedro.serving.inference_table.redaction import REDACTED
from marvel_kedro.serving.inference_table.spool import Entry, Spool
from marvel_kedro.serving.lookup import CannotCompleteError, Lookup
from marvel_kedro.serving.models.served_entities import Entities, Served
from marvel_kedro.serving.state_folder import SPOOL
from marvel_kedro.serving.telemetry import metrics
from marvel_kedro.serving.telemetry.opentelemetry import Answered, Telemetry

logger = logging.getLogger(__name__)

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

INLINE_BYTES = auth.SMALL_BYTES
INLINE_RECORDS = 32
"""Up to so much is answered at once; more in a thread, for which others wait in turns only.

So is every record of a model that others have made: it may take its time, and who counts the time
of requests must not wait for it.
"""

_TICK_SECONDS = 0.2
_PARENT_SECONDS = 1.0

_JSON = (b"content-type", b"application/json")
_SIMULATED_TIME = b"x-simulated-time"


@dataclass(slots=True)
class Invocation:
    """What becomes known of a request while it is answered.

    `written_answer` is there if the answer quotes what is not written down.
    """

    id: str
    time: float
    started: float
    headers: dict[bytes, bytes]
    body: bytes = b""
    answer: bytes = b""
    written_answer: bytes | None = None
    status: int = 200
    requester: str | None = None
    client_request_id: str | None = None
    served: Served | None = None
    records: int = 0
    extra_headers: tuple[tuple[bytes, bytes], ...] = ()
    simulated_time: int | None = None
    held: int = 0


class Endpoint:
    """The application of one worker process."""

    def __init__(self, description: ServingConfiguration, tokens: Tokens, log: AccessLog) -> None:
        self._options = description.endpoint
        self._limits = description.endpoint.limits
        self._server = description.server
        self._tokens = tokens
        self._log = log
        self._redact = frozenset(description.endpoint.inference_table.redact)
        self._lookup = Lookup(description.server.characters)
        self._spool = self._open_spool() if description.endpoint.inference_table.enabled else None
        self._entities = Entities(description, log)
        self._pages = Pages(description, self._entities, tokens, log)
        self._telemetry = Telemetry.from_environment(description.endpoint.name)
        self._capacity = Capacity(self._limits, self._server.threads)
        self._tally = metrics.Tally()
        self._running: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        name = description.endpoint.name
        self._paths = {"/invocations", f"/serving-endpoints/{name}/invocations"}

    def _open_spool(self) -> Spool:
        return Spool(
            self._server.folder / SPOOL,
            self._options.inference_table,
            self._server.spool_bytes,
            on_drop=lambda reason, requests: metrics.DROPPED.labels(reason).inc(requests),
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer what ASGI hands on."""
        if scope["type"] == "http" and scope["path"] in self._paths:
            await self._invoke(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await self._pages(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        # Before anybody is let in: a worker that takes the place of another refuses nobody.
        await self._entities.look()
        parent = multiprocessing.parent_process()  # os.getppid() may be another one by now
        tasks = [
            asyncio.create_task(self._entities.follow()),
            asyncio.create_task(_each(_TICK_SECONDS, self._tick)),
        ]
        if parent and parent.pid:
            tasks.append(asyncio.create_task(_each(_PARENT_SECONDS, _stop_without, parent.pid)))
        if self._spool:
            tasks.append(asyncio.create_task(_each(self._server.flush_seconds, self._spool.rotate)))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for task in tasks:
            task.cancel()
        if self._spool:
            self._spool.rotate()
        self._tick()
        self._log.flush()
        self._telemetry.close()
        await send({"type": "lifespan.shutdown.complete"})

    def _tick(self) -> None:
        """End what takes too long, and hand on what was counted."""
        now = time.perf_counter()
        for task, deadline in self._running.items():
            if now > deadline and task not in self._late:
                self._late.add(task)
                task.cancel()
        metrics.IN_PROGRESS.set(len(self._running) + self._capacity.left)
        self._tally.hand_on()

    async def _invoke(self, scope: Message, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        call = Invocation(os.urandom(16).hex(), time.time(), started, dict(scope["headers"]))
        task = asyncio.current_task()
        assert task is not None
        self._running[task] = started + self._limits.seconds
        try:
            await self._answer(call, scope["method"], receive, task)
            seconds = time.perf_counter() - started
            self._write_down(call, seconds)
        except ClientGoneError:
            metrics.GONE.inc()
            return
        finally:
            del self._running[task]
            self._late.discard(task)
            call.body = b""  # the client may take its time for the answer
            if call.held:
                self._capacity.let_go(call)
        await self._send(call, send)
        self._report(call, scope["path"], seconds)

    async def _answer(
        self, call: Invocation, method: str, receive: Receive, task: asyncio.Task[Any]
    ) -> None:
        """Fill in the answer, or why there is none."""
        try:
            self._check(call, method)
            await self._score(call, receive)
        except Refusal as refusal:
            self._refuse(call, refusal)
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            self._refuse(call, self._late_refusal())
        except ClientGoneError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
            self._log.line(
                time=moment(call.time), level="error", request_id=call.id, fault=self._said(error)
            )
            self._refuse(call, own_fault(call.id))

    def _refuse(self, call: Invocation, refusal: Refusal) -> None:
        call.status, call.extra_headers = refusal.status, refusal.headers
        call.answer = protocol.refuse(refusal.code, refusal.message)
        if refusal.unquoted and refusal.unquoted[0] in self._redact:
            call.written_answer = protocol.refuse(refusal.code, refusal.unquoted[1])

    def _said(self, error: Exception) -> str:
        """A fault, for the log: errors of a model's code like to quote what they were given."""
        if not self._redact:
            return repr(error)[:1000]
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {where.filename}:{where.lineno}"

    def _check(self, call: Invocation, method: str) -> None:
        """Refuse what needs no look at the body."""
        if method != "POST":
            raise Refusal(
                HTTPStatus.METHOD_NOT_ALLOWED,
                "BAD_REQUEST",
                f"Send POST, not {method}; /docs shows how.",
                ((b"allow", b"POST"),),
            )
        call.requester = self._tokens.requester(call.headers.get(b"authorization"))
        self._capacity.check(len(self._running))
        if self._server.accept_simulated_time and _SIMULATED_TIME in call.headers:
            call.simulated_time = protocol.simulated_time(call.headers[_SIMULATED_TIME])
        auth.check_content_type(call.headers.get(b"content-type"))

    async def _score(self, call: Invocation, receive: Receive) -> None:
        call.body = await auth.read_body(
            receive,
            call.headers.get(b"content-length"),
            self._limits.body_bytes,
            partial(self._capacity.hold, call),
        )
        if len(call.body) <= INLINE_BYTES:
            request = protocol.read(call.body)
        else:
            request = await self._capacity.in_thread(call, protocol.read, call.body)
        call.client_request_id, call.records = request.client_request_id, len(request.records)
        if call.records > self._limits.records:
            raise invalid_value(
                f"{call.records:,} records are more than the {self._limits.records:,} that are "
                "taken at once. Send them in several requests."
            )
        served = call.served = self._entities.choose(request.client_request_id)
        if call.records <= INLINE_RECORDS and served.loaded.is_own:
            scored = self._complete_and_score(served, request.records)
        else:
            scored = await self._capacity.in_thread(
                call, self._complete_and_score, served, request.records
            )
        call.answer = protocol.answer(scored)
        self._tally.records(served.name, served.version, scored)

    def _complete_and_score(
        self, served: Served, records: list[protocol.Record]
    ) -> list[tuple[str, float]]:
        try:
            complete = self._lookup.complete(records)
        except CannotCompleteError as error:
            raise invalid_value(str(error), (lookup.ID, error.unquoted)) from None
        model = served.loaded
        return model.score(protocol.conform(complete, model.schema, model.required))

    def _late_refusal(self) -> Refusal:
        return Refusal(
            HTTPStatus.GATEWAY_TIMEOUT,
            "DEADLINE_EXCEEDED",
            f"The request took longer than {self._limits.seconds:g} seconds. "
            "Send fewer records at once.",
        )

    def _write_down(self, call: Invocation, seconds: float) -> None:
        """Before the answer is sent: what was answered is in the table, whatever happens next."""
        if self._spool is None:
            return
        served, simulated = call.served, call.simulated_time
        self._spool.write(
            Entry(
                databricks_request_id=call.id,
                client_request_id=call.client_request_id,
                request_time=int(call.time * 1e6) if simulated is None else simulated,
                status_code=call.status,
                execution_duration_ms=round(seconds * 1000),
                request=call.body or None,
                response=call.answer if call.written_answer is None else call.written_answer,
                served_entity_id=served.id if served else None,
                requester=call.requester,
            )
        )

    async def _send(self, call: Invocation, send: Send) -> None:
        headers = [
            _JSON,
            (b"content-length", str(len(call.answer)).encode()),
            (b"x-request-id", call.id.encode()),
            *call.extra_headers,
        ]
        if call.served:
            headers.append((b"served-model-name", call.served.name.encode()))
        await send({"type": "http.response.start", "status": call.status, "headers": headers})
        await send({"type": "http.response.body", "body": call.answer})

    def _report(self, call: Invocation, path: str, seconds: float) -> None:
        entity, version = (call.served.name, call.served.version) if call.served else ("", "")
        self._tally.request(entity, version, call.status, seconds)
        answered = Answered(
            path, call.status, call.time, seconds, entity, version, call.records, call.id
        )
        name = call.client_request_id
        if name is not None and "client_request_id" in self._redact:
            name = REDACTED
        traceparent = call.headers.get(b"traceparent")
        self._log.line(
            time=moment(call.time),
            level="info" if call.status < HTTPStatus.INTERNAL_SERVER_ERROR else "error",
            request_id=call.id,
            trace_id=self._telemetry.record(answered, traceparent),
            path=path,
            status=call.status,
            duration_ms=round(seconds * 1000, 3),
            records=call.records,
            served_entity=entity or None,
            model_version=version or None,
            client_request_id=name,
            requester=call.requester,
        )


async def _each(seconds: float, function: Callable[..., Any], *arguments: Any) -> None:  # noqa: ANN401
    while True:
        await asyncio.sleep(seconds)
        try:
            function(*arguments)
        except Exception:  # a disk that is full must not end what counts and rotates
            logger.exception("A task of the worker failed; it goes on.")


def _stop_without(parent: int) -> None:
    """End this worker when its parent has gone, which it would outlive with the address taken."""
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
