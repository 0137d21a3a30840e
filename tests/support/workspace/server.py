"""A Databricks workspace at its HTTP boundary: on loopback, with its state in memory.

It answers the calls that the real clients make (MLflow 3.17, databricks-sdk 0.156) with what they
read in an answer, as their source shows it. It was not verified against a real workspace: what a
workspace does beyond that (quotas, eventual consistency, who may do what) is not here.

One class for each API area: its `routes`, and its state.
"""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar, Protocol, Self
from urllib.parse import parse_qsl, unquote, urlsplit

TOKEN = "dapi0123456789abcdef-secret"
WORKSPACE_ID = "1234567890"


@dataclass(frozen=True)
class Request:
    """A request; `names` holds the named parts of the path."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    names: dict[str, str] = field(default_factory=dict)

    @property
    def fields(self) -> dict[str, Any]:
        """The JSON body, or the query where there is none: clients send fields as either."""
        sent: dict[str, Any] = json.loads(self.body) if self.body else dict(self.query)
        return sent


@dataclass(frozen=True)
class Reply:
    """An answer: bytes as they are, anything else as JSON. With status 0, the end of the line."""

    body: Any = field(default_factory=dict)
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """A refusal in the form that all Databricks APIs share."""

    def __init__(self, status: int, code: str | int, message: str) -> None:
        super().__init__(message)
        self.reply = Reply({"error_code": code, "message": message}, status)


Handler = Callable[[Request], Any]
Route = tuple[str, str, Handler]
"""Method (`*` is any), path with `{name}` for a segment and `{name:path}` for the rest, handler."""


class Area(Protocol):
    """One API of the workspace."""

    def routes(self) -> list[Route]:
        """Return the requests that it answers."""


@dataclass
class _Fault:
    reply: Reply | None
    pattern: re.Pattern[str]
    times: int
    after: int


class Workspace:
    """A workspace that listens from `with` on, and stops at its end."""

    def __init__(self, *areas: Area, token: str = TOKEN) -> None:
        self.token = token
        self.requests: list[Request] = []
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        for area in areas:
            self.add(area)

    def add(self, area: Area) -> None:
        """Answer the requests of one more area."""
        for method, path, handler in area.routes():
            pattern = re.sub(
                r"\\{(\w+)(:path)?\\}",
                lambda name: f"(?P<{name[1]}>{'.+' if name[2] else '[^/]+'})",
                re.escape(path),
            )
            self._routes.append((method, re.compile(pattern), handler))

    def fail(self, reply: Reply | None, path: str = "", times: int = 1, after: int = 0) -> None:
        """Give the next requests this answer instead; none at all (they hang) for None.

        Args:
            reply: The answer; `workspace.faults` has the usual ones.
            path: A regular expression, searched in `METHOD /path`.
            times: How many requests.
            after: How many are answered before.
        """
        self._faults.append(_Fault(reply, re.compile(path), times, after))

    def heal(self) -> None:
        """Answer all requests from now on."""
        self._faults.clear()

    def seen(self, path: str) -> list[Request]:
        """The requests so far whose `METHOD /path` has this regular expression."""
        return [sent for sent in self.requests if re.search(path, f"{sent.method} {sent.path}")]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, request: Request) -> Reply | None:
        """Answer a request, or hang and then give up."""
        with self._lock:
            self.requests.append(request)
            fault = self._next_fault(request)
        if fault:
            if fault.reply is None:
                self._stopping.wait()
            return fault.reply
        try:
            self._check_token(request)
            with self._lock:
                done = self._dispatch(request)
        except ApiError as error:
            return error.reply
        return done if isinstance(done, Reply) else Reply(done or {})

    def _next_fault(self, request: Request) -> _Fault | None:
        for fault in self._faults:
            if not fault.times or not fault.pattern.search(f"{request.method} {request.path}"):
                continue
            if fault.after:
                fault.after -= 1
                continue
            fault.times -= 1
            return fault
        return None

    def _check_token(self, request: Request) -> None:
        if request.path.startswith("/.well-known/"):
            return
        sent = request.headers.get("authorization", "")
        if not sent.startswith("Bearer "):
            raise ApiError(401, 401, "Credential was not sent or was of an unsupported type.")
        if sent != f"Bearer {self.token}":
            raise ApiError(401, 401, "Invalid access token.")

    def _dispatch(self, request: Request) -> Any:
        for method, pattern, handler in self._routes:
            found = pattern.fullmatch(request.path)
            if found and method in {"*", request.method}:
                return handler(replace(request, names=found.groupdict()))
        message = f"No API found for '{request.method} {request.path}'"
        raise ApiError(404, "ENDPOINT_NOT_FOUND", message)


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # a client keeps its connection open after the last request

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.workspace = workspace

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet, else the client waits for the second
    server: _Server
    _METHODS: ClassVar = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")

    def _answer(self) -> None:
        address = urlsplit(self.path)
        reply = self.server.workspace.answer(
            Request(
                self.command,
                unquote(address.path),
                dict(parse_qsl(address.query, keep_blank_values=True)),
                {name.lower(): value for name, value in self.headers.items()},
                self._read_body(),
            )
        )
        if reply is None or not reply.status:
            self.close_connection = True
            return
        raw = isinstance(reply.body, bytes)
        body = reply.body if raw else json.dumps(reply.body).encode()
        self.send_response(reply.status, HTTPStatus(reply.status).phrase)
        kind = "application/octet-stream" if raw else "application/json"
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "X-Databricks-Org-Id": WORKSPACE_ID,
            **reply.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline(), 16):  # how requests sends an empty file
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def log_message(self, *_: Any) -> None:
        """Print nothing."""


for _method in _Handler._METHODS:
    setattr(_Handler, f"do_{_method}", _Handler._answer)
