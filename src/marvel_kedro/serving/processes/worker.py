"""One worker process: the application, and connections that are not held open for nothing."""

import os
from asyncio import BaseTransport, TimerHandle, Transport
from collections.abc import Awaitable, Callable
from typing import Any, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.models import loaded_model
from marvel_kedro.serving.telemetry import metric_files

HEADER_SECONDS = 10.0
"""How long a client may take to say what it wants."""

HEADER_BYTES = 64 * 1024
"""How many bytes it may take for it, and for what is neither headers nor body."""

PIECE_BYTES = 4 * 1024
"""How much is parsed at once: so many requests may wait behind the one that is being answered."""

_LINGER_SECONDS = 0.5  # for a request that was sent before its client could know of the stop


class _OnePacket:
    """What uvicorn writes an answer to: head and body go out by one system call instead of two."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        """Keep the head, which comes first, until there is a body."""
        if self._head is None:
            self._transport.write(data)
        elif self._head:
            self._transport.write(self._head + data)
            self._head = None
        else:
            self._head = data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a transport has
        return getattr(self._transport, name)


class _Nowhere(list[tuple[bytes, bytes]]):
    """Where headers go that follow a body in chunks: nobody asks for them."""

    def append(self, header: tuple[bytes, bytes]) -> None:
        """Forget it."""


_NOWHERE = _Nowhere()


class _Flow(FlowControl):
    """uvicorn's, but nothing resumes reading while requests wait for their turn."""

    held = False

    def resume_reading(self) -> None:
        """Unless it is held."""
        if self.read_paused and not self.held:
            super().resume_reading()


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, for clients that send more than they should, or less.

    By itself it waits without an end for the headers of a request, and for a client to take its
    answers. It parses whatever comes: of a client that sends requests on and on without reading the
    answers, as many as memory holds. Here requests that wait for their turn stop the reading, and
    what has been read is kept unparsed.
    """

    flow: _Flow
    _deadline: TimerHandle | None = None
    _unread: TimerHandle | None = None
    _stopping = False
    _bare_bytes = 0  # that have come since there was a body, or the begin or end of a request
    _kept = b""

    def connection_made(self, transport: BaseTransport) -> None:
        """Wait for the first request, for some time."""
        super().connection_made(transport)  # type: ignore[arg-type] # as uvicorn has it
        self.flow = _Flow(self.transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Parse a piece at a time."""
        if len(data) <= PIECE_BYTES and not self.flow.held:  # nearly always
            self._bare_bytes += len(data)
            super().data_received(data)
            if self.pipeline or self._bare_bytes > HEADER_BYTES:
                self._go_on()
        else:
            self._kept += data
            self._go_on()

    def _go_on(self) -> None:
        """Parse what is kept, until a request has to wait for its turn."""
        kept, begin = self._kept, 0
        while begin < len(kept) and not self.pipeline and not self.transport.is_closing():
            piece = kept[begin : begin + PIECE_BYTES]
            self._bare_bytes += len(piece)
            super().data_received(piece)
            begin += PIECE_BYTES
        if self._bare_bytes > HEADER_BYTES:
            self.transport.abort()
        self._kept = b"" if self.transport.is_closing() else kept[begin:]
        if self.pipeline or self._kept:
            self._hold()

    def _hold(self) -> None:
        """Read no more; nobody can be blamed for half a request then."""
        self.flow.held = True
        self.flow.pause_reading()
        self._stop_waiting()

    def on_message_begin(self) -> None:
        """Wait for the rest of its headers."""
        super().on_message_begin()
        self._bare_bytes = 0
        if self._deadline is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """From here on the application's own limit holds."""
        self._stop_waiting()
        super().on_headers_complete()
        self.headers = _NOWHERE
        if self._stopping:
            self.cycle.keep_alive = False  # the answer says so
        if not self.expect_100_continue and self.scope["method"] != "HEAD":
            self.cycle.transport = cast("Any", _OnePacket(self.transport))

    def on_body(self, body: bytes) -> None:
        """So it goes on."""
        self._bare_bytes = 0
        HttpToolsProtocol.on_body(self, body)  # quicker than by `super`

    def on_message_complete(self) -> None:
        """Nothing to wait for, if it was answered before its end."""
        self._bare_bytes = 0
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what is kept; wait for a body that nobody wants, for some time."""
        super().on_response_complete()
        if self.flow.held:
            self.flow.held = False
            self._go_on()
            self.flow.resume_reading()
            is_in_head = self.headers is not _NOWHERE
            if is_in_head and not self.flow.held and self._deadline is None:
                self._wait()
        if self.cycle.more_body and self.cycle.response_complete and self._deadline is None:
            self._wait()

    def timeout_keep_alive_handler(self) -> None:
        """Let go of a client, also of one that does not read its answer."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """Wait for a client to take its answers, for some time."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._stop_waiting_for_reader()

    def shutdown(self) -> None:
        """Answer what is on its way, and close."""
        self._stopping = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_LINGER_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for."""
        self._stop_waiting()
        self._stop_waiting_for_reader()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_waiting_for_reader(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


def create_app(description: ServingConfiguration) -> Callable[..., Awaitable[Any]]:
    """Make the application of this process."""
    os.setpgid(0, 0)  # Ctrl-C is for the parent, which tells its workers
    # More threads wait for each other where more than one request is answered at once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    metric_files.take()
    loaded_model.import_lightgbm()
    from marvel_kedro.serving.http.access_log import AccessLog  # noqa: PLC0415 - after the lines above
    from marvel_kedro.serving.http.app import Endpoint  # noqa: PLC0415
    from marvel_kedro.serving.http.auth import Tokens  # noqa: PLC0415

    return Endpoint(description, Tokens.from_environment(), AccessLog())
