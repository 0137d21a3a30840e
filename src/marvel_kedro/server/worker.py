"""One worker process: the application, and connections that are not held open for nothing."""

import os
from asyncio import BaseTransport, TimerHandle, Transport
from collections.abc import Awaitable, Callable
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from marvel_kedro.server import metric_files, served_model
from marvel_kedro.server.description import Description

HEADER_SECONDS = 10.0
"""How long a client may take to say what it wants."""

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


class Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which by itself waits without an end for the headers of a request."""

    _deadline: TimerHandle | None = None
    _stopping = False

    def connection_made(self, transport: BaseTransport) -> None:
        """Wait for the first request, for some time."""
        super().connection_made(transport)  # type: ignore[arg-type] # as uvicorn has it
        self._wait()

    def on_message_begin(self) -> None:
        """Wait for the rest of its headers."""
        super().on_message_begin()
        if self._deadline is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """From here on the application's own limit holds."""
        self._stop_waiting()
        super().on_headers_complete()
        if self._stopping:
            self.cycle.keep_alive = False  # the answer says so
        if not self.expect_100_continue and self.scope["method"] != "HEAD":
            self.cycle.transport = cast("Any", _OnePacket(self.transport))

    def on_message_complete(self) -> None:
        """Nothing to wait for, if it was answered before its end."""
        self._stop_waiting()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Wait for the rest of a body that nobody wants, for some time."""
        super().on_response_complete()
        if self.cycle.more_body and self.cycle.response_complete and self._deadline is None:
            self._wait()

    def timeout_keep_alive_handler(self) -> None:
        """Let go of a client, also of one that does not read its answer."""
        self.transport.abort()

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
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def create_app(description: Description) -> Callable[..., Awaitable[Any]]:
    """Make the application of this process."""
    os.setpgid(0, 0)  # Ctrl-C is for the parent, which tells its workers
    # More threads wait for each other where more than one request is answered at once.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    metric_files.take()
    served_model.import_lightgbm()
    from marvel_kedro.server.access_log import AccessLog  # noqa: PLC0415 - after the lines above
    from marvel_kedro.server.app import Endpoint  # noqa: PLC0415
    from marvel_kedro.server.guard import Tokens  # noqa: PLC0415

    return Endpoint(description, Tokens.from_environment(), AccessLog())
