"""Changes to uvicorn's internals; no other module depends on them.

They were verified with the versions in `VERIFIED_VERSIONS`; a test fails for any other one.
"""

import logging
import signal
import socket
import time
from asyncio import BaseTransport, TimerHandle, Transport
from collections import deque
from importlib.metadata import version
from typing import Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn import Config
from uvicorn.config import STARTUP_FAILURE
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

logger = logging.getLogger(__name__)

VERIFIED_VERSIONS = {"uvicorn": "0.54.0", "httptools": "0.9.0"}

HEADER_SECONDS = 10.0  # that a client has for the headers of a request
HEADER_BYTES = 64 * 1024  # limit of the headers, and of bytes that are neither headers nor body
PIECE_BYTES = 4 * 1024  # parsed at a time: bounds the requests that wait behind the present one
_LINGER_SECONDS = 0.5  # for a request that its client sent before it could know of the stop
_HEALTHCHECK_SECONDS = 30  # a busy worker is not dead
_LEEWAY_SECONDS = 8.0  # for the work of a worker after its last answer: traces, logs

_INVALID = "Invalid HTTP request received."
_DISCARDED: Any = deque(maxlen=0)  # takes the place of headers for trailers, which are ignored


def warn_of_unverified_versions() -> None:
    """Log a warning for each package that has another version than the verified one."""
    for package, verified in VERIFIED_VERSIONS.items():
        if (installed := version(package)) != verified:
            logger.warning("%s %s is not the verified version %s.", package, installed, verified)


class _OnePacket:
    """A transport that sends the head and the body of an answer in one system call, not in two."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._head: bytes | None = b""

    def write(self, data: bytes) -> None:
        """Buffer the head, which comes first, until there is a body."""
        if self._head is None:
            self._transport.write(data)
        elif self._head:
            self._transport.write(self._head + data)
            self._head = None
        else:
            self._head = data

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a transport
        return getattr(self._transport, name)


class _Flow(FlowControl):
    """uvicorn's flow control, without reading while requests wait for their turn."""

    held = False

    def resume_reading(self) -> None:
        if self.read_paused and not self.held:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol with limits on slow and greedy clients, and without upgrades.

    - uvicorn waits without limit for the headers of a request, and for a client that does not read
      its answers. Here both have a deadline.
    - uvicorn parses every pipelined request, even if the client never reads an answer, until memory
      is full. Here reading stops while a request waits for its turn, and bytes that have been read
      stay unparsed.
    - uvicorn takes a request that offers an upgrade for one without a body, and the body for
      another request. Here the offer is ignored, as RFC 9110, 7.8, permits.
    - uvicorn answers invalid bytes behind a request before that request. Here they close the
      connection after its answer.
    """

    flow: _Flow
    _deadline: TimerHandle | None = None
    _unread: TimerHandle | None = None
    _stopping = False
    _discards = False  # bytes behind the last request
    _bare_bytes = 0  # since the last body, or the begin or end of a request
    _unparsed = b""

    def connection_made(self, transport: BaseTransport) -> None:
        """Start the deadline of the first request."""
        super().connection_made(transport)  # type: ignore[arg-type] # as uvicorn has it
        self.flow = _Flow(self.transport)
        self._start_deadline()

    def data_received(self, data: bytes) -> None:
        """Parse a piece at a time."""
        if len(data) <= PIECE_BYTES and not self.flow.held:  # nearly always
            self._bare_bytes += len(data)
            self._feed(data)
            if self.pipeline or self._bare_bytes > HEADER_BYTES:
                self._parse()
        elif not self._discards:
            self._unparsed += data
            self._parse()

    def _parse(self) -> None:
        """Parse buffered bytes until a request has to wait for its turn."""
        buffered, begin = self._unparsed, 0
        while begin < len(buffered) and not self._stops_parsing():
            piece = buffered[begin : begin + PIECE_BYTES]
            self._bare_bytes += len(piece)
            self._feed(piece)
            begin += PIECE_BYTES
        if self._bare_bytes > HEADER_BYTES:
            self.transport.abort()
        self._unparsed = b"" if self.transport.is_closing() else buffered[begin:]
        if self.pipeline or (self._unparsed and not self._discards):
            self.flow.held = True
            self.flow.pause_reading()
            self._stop_deadline()  # the client may have sent the rest of its request

    def _stops_parsing(self) -> bool:
        return bool(self.pipeline) or self._discards or self.transport.is_closing()

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as offer:
            if self.parser.get_method() == b"CONNECT":
                self.send_400_response(_INVALID)
            else:
                data = self._head_without_offer() + data[offer.args[0] :]
                self.parser = HttpRequestParser(self)  # this one discards all after a "close"
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self._feed(data)
        except HttpParserError:
            self.logger.warning(_INVALID)
            if self.cycle is None or self.cycle.response_complete or self.cycle.more_body:
                self.send_400_response(_INVALID)
            else:
                self.cycle.keep_alive = False
                # Read on: closing a connection with unread bytes may discard the answer.
                self._discards = self.flow.held = True
                self._stop_deadline()

    def _head_without_offer(self) -> bytes:
        http = self.parser.get_http_version().encode()
        line = b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, http)
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        return b"".join([line, *headers, b"\r\n"])

    def on_message_begin(self) -> None:
        """Start the deadline of the headers."""
        super().on_message_begin()
        self._bare_bytes = 0
        if self._deadline is None:
            self._start_deadline()

    def on_headers_complete(self) -> None:
        """Stop the deadline; the application has its own for the rest."""
        if self.parser.should_upgrade():  # `_feed` parses the head again, without the offer
            return
        self._stop_deadline()
        super().on_headers_complete()
        if self.expect_100_continue and self.scope["http_version"] == "1.0":
            self.cycle.waiting_for_100_continue = False
        self.headers = _DISCARDED
        if self._stopping:
            self.cycle.keep_alive = False  # which the answer announces
        if not self.expect_100_continue and self.scope["method"] != "HEAD":
            self.cycle.transport = cast("Any", _OnePacket(self.transport))

    def on_body(self, body: bytes) -> None:
        """Reset the count of bytes outside bodies."""
        self._bare_bytes = 0
        HttpToolsProtocol.on_body(self, body)  # faster than by `super`

    def on_message_complete(self) -> None:
        """Stop the deadline of a request that was answered before its end."""
        if self.headers is not _DISCARDED:  # an offer of an upgrade, see above
            return
        self._bare_bytes = 0
        self._stop_deadline()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with buffered bytes; a body that the application did not read has a deadline."""
        super().on_response_complete()
        if self.flow.held:
            self.flow.held = False
            self._parse()
            self.flow.resume_reading()
            is_in_head = self.headers is not _DISCARDED
            if is_in_head and not self.flow.held and self._deadline is None:
                self._start_deadline()
        if self.cycle.more_body and self.cycle.response_complete and self._deadline is None:
            self._start_deadline()

    def timeout_keep_alive_handler(self) -> None:
        """Abort, also if the client does not read its answer."""
        self.transport.abort()

    def pause_writing(self) -> None:
        """Start the deadline of a client that does not read."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.timeout_keep_alive, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop the deadline of a client that does not read."""
        super().resume_writing()
        self._stop_unread()

    def shutdown(self) -> None:
        """Answer requests in transit, then close."""
        self._stopping = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(_LINGER_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all deadlines."""
        self._stop_deadline()
        self._stop_unread()
        super().connection_lost(exc)

    def _start_deadline(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _stop_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None


class WorkerSupervisor(Multiprocess):
    """uvicorn's supervisor, with health checks that do not block and a bounded stop."""

    def __init__(self, config: Config, sockets: list[socket.socket], grace_seconds: float) -> None:
        super().__init__(config, sockets)
        self.cannot_start = False  # whether a worker failed to start, which stops the supervisor
        self._grace_seconds = grace_seconds
        self._stop_signals = 0
        self._pings: dict[int, float] = {}  # time of the unanswered ping by pid
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)

    def worker_ended(self, pid: int) -> None:
        """Handle the end of a worker's process, after `cannot_start` is set."""

    def _stop(self, *_: object) -> None:
        self._stop_signals += 1
        self.should_exit.set()

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died or hang."""
        for index, process in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if process.process.is_alive() and self._is_responsive(process):
                continue
            process.kill()
            process.join()
            pid, status = int(process.pid or 0), process.exitcode
            self._pings.pop(pid, None)
            self.cannot_start = status == STARTUP_FAILURE
            self.worker_ended(pid)
            if self.cannot_start:
                self.should_exit.set()
                return
            logger.warning("The worker %s died (exit status %s) and was replaced.", pid, status)
            self.processes[index] = Process(self.config, self.sockets)
            self.processes[index].start()

    def _is_responsive(self, process: Process) -> bool:
        """Ping a worker without waiting for its answer, as uvicorn does."""
        pid, now = int(process.pid or 0), time.monotonic()
        try:
            if pid not in self._pings:
                process.parent_conn.send(b"ping")
                self._pings[pid] = now
            elif process.parent_conn.poll():
                process.parent_conn.recv()
                del self._pings[pid]
        except (OSError, EOFError):
            return False
        return now - self._pings.get(pid, now) < _HEALTHCHECK_SECONDS

    def terminate_all(self) -> None:
        """Close the sockets, so that no client connects and waits in vain; stop the workers."""
        for sock in self.sockets:
            sock.close()
        super().terminate_all()

    def join_all(self) -> None:
        """Wait for the workers; kill them after the grace period or at a second signal."""
        end = time.monotonic() + self._grace_seconds + _LEEWAY_SECONDS
        for process in self.processes:
            while process.process.is_alive():
                if time.monotonic() > end or self._stop_signals > 1:
                    logger.warning("The worker %s did not end by itself.", process.pid)
                    process.process.kill()
                process.process.join(0.1)
