"""The endpoint's application in this process, called as uvicorn calls it, without sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from support.running_server import MODEL, RECORD, Store, mlflow_files

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http.access_log import AccessLog
from marvel_kedro.serving.http.app import Endpoint
from marvel_kedro.serving.http.auth import Tokens
from marvel_kedro.serving.models.deployment import Deployed, Deployment

BODY = {"dataframe_records": [RECORD]}
JSON = {"content-type": "application/json"}
LOG = "log.jsonl"
_SECONDS = 30.0

Headers = Iterable[tuple[bytes, bytes]]


def deploy(configuration: ServingConfiguration, registered: Store) -> ServingConfiguration:
    """Publish versions 1 and 2 for the served entities, as the supervisor would."""
    models = configuration.server.models
    models.mkdir(parents=True)
    entities = []
    for number, entity in enumerate(configuration.endpoint.served_entities, start=1):
        files = mlflow_files(registered.client(), str(number))
        (models / f"{number}-0").symlink_to(files)
        entities.append(
            Deployed(name=entity.name, model=MODEL, version=str(number), folder=f"{number}-0")
        )
    Deployment(
        endpoint=configuration.endpoint.name,
        entities=tuple(entities),
        traffic=configuration.endpoint.traffic,
    ).write(models)
    return configuration


@dataclass
class Answer:
    """The answer to a request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> tuple[int, str, str]:
        """Status, error code and message of an error answer, which has no other keys."""
        assert self.headers["content-type"] == "application/json"
        body = self.json
        assert set(body) == {"error_code", "message"}
        return self.status, body["error_code"], body["message"]


def answer_of(messages: list[dict[str, Any]]) -> Answer:
    """Read the answer from ASGI's messages; status 0 if there are none."""
    if not messages:
        return Answer(0, {}, b"")
    start, *rest = messages
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert len(headers) == len(start["headers"])
    return Answer(int(start["status"]), headers, b"".join(part["body"] for part in rest))


class InProcess:
    """A client of an application that lives in its own event loop."""

    def __init__(
        self, app: Endpoint, configuration: ServingConfiguration, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.app = app
        self.configuration = configuration
        self.loop = loop

    def request(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send a request; a body in parts is sent as several messages."""
        return self.loop.run_until_complete(self.request_async(method, path, body, headers))

    def post(self, body: Any, path: str = "/invocations", **headers: str) -> Answer:
        """Invoke with bytes, or with a value as JSON."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request("POST", path, sent, JSON | named)

    def get(self, path: str, **headers: str) -> Answer:
        return self.request("GET", path, b"", headers)

    async def request_async(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        parts = [body] if isinstance(body, bytes) else list(body)
        messages = [
            {"type": "http.request", "body": part, "more_body": number < len(parts)}
            for number, part in enumerate(parts, start=1)
        ]

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        encoded = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in (headers or {}).items()
        ]
        return await asyncio.wait_for(self._call(method, path, encoded, receive), _SECONDS)

    async def post_slowly(self, seconds: float, headers: Headers = ()) -> Answer:
        """Invoke with a body that arrives after some seconds."""

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(seconds)
            return {"type": "http.request", "body": json.dumps(BODY).encode(), "more_body": False}

        sent = [(b"content-type", b"application/json"), *headers]
        return await self._call("POST", "/invocations", sent, receive)

    async def _call(self, method: str, path: str, headers: Headers, receive: Any) -> Answer:
        messages: list[Any] = []

        async def send(message: Any) -> None:
            messages.append(message)

        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        await self.app(scope, receive, send)
        return answer_of(messages)

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the lines of the access log so far."""
        self.app._log.flush()
        log = self.configuration.server.folder / LOG
        return [json.loads(line) for line in log.read_bytes().splitlines()]

    def rows(self) -> list[dict[str, Any]]:
        """Return the entries for the inference table so far, in the order of the requests."""
        files = sorted(self.configuration.server.spool.glob("*.*"))
        lines = b"".join(file.read_bytes() for file in files).splitlines()
        return [json.loads(line) for line in lines]


@asynccontextmanager
async def _lifespan(app: Endpoint, *, with_model: bool) -> AsyncIterator[None]:
    """Start and stop the application as uvicorn does."""
    received: asyncio.Queue[Any] = asyncio.Queue()
    sent: asyncio.Queue[Any] = asyncio.Queue()
    running = asyncio.create_task(app({"type": "lifespan"}, received.get, sent.put))
    await received.put({"type": "lifespan.startup"})
    assert (await sent.get())["type"] == "lifespan.startup.complete"
    async with asyncio.timeout(_SECONDS):
        while with_model and not app._entities.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    yield
    await received.put({"type": "lifespan.shutdown"})
    assert (await sent.get())["type"] == "lifespan.shutdown.complete"
    await running


@contextmanager
def started(
    configuration: ServingConfiguration, tokens: dict[str, str] | None = None
) -> Iterator[InProcess]:
    """Start the application, and stop it at the end of the block.

    Args:
        configuration: Its configuration.
        tokens: Token by client name; None: requests need no token.
    """
    folder = configuration.server.folder
    folder.mkdir(parents=True, exist_ok=True)
    pairs = ",".join(f"{name}:{token}" for name, token in (tokens or {}).items())
    with_model = Deployment.read(configuration.server.models) is not None
    with (folder / LOG).open("wb", buffering=0) as log, asyncio.Runner() as runner:
        loop = runner.get_loop()
        accepted = Tokens.from_environment({"MARVEL_TOKENS": pairs})
        app = Endpoint(configuration, accepted, AccessLog(log.write))
        lifespan = _lifespan(app, with_model=with_model)
        loop.run_until_complete(lifespan.__aenter__())
        yield InProcess(app, configuration, loop)
        loop.run_until_complete(lifespan.__aexit__(None, None, None))
