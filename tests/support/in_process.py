"""The endpoint in this process, asked as uvicorn would ask it, without sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from support.running_server import MODEL, Store, mlflow_files

from marvel_kedro.serving.configuration import ServingConfiguration
from marvel_kedro.serving.http.access_log import AccessLog
from marvel_kedro.serving.http.app import Endpoint
from marvel_kedro.serving.http.auth import Tokens
from marvel_kedro.serving.models.deployment import Deployed, Deployment

JSON = {"content-type": "application/json"}
LOG = "log.jsonl"
_SECONDS = 30.0


def deploy(description: ServingConfiguration, registered: Store) -> ServingConfiguration:
    """Publish versions 1 and 2 for the served entities, as the server's parent would."""
    models = description.server.models
    models.mkdir(parents=True)
    entities = []
    for number, entity in enumerate(description.endpoint.served_entities, start=1):
        files = mlflow_files(registered.client(), str(number))
        (models / f"{number}-0").symlink_to(files)
        entities.append(
            Deployed(name=entity.name, model=MODEL, version=str(number), folder=f"{number}-0")
        )
    Deployment(
        endpoint=description.endpoint.name,
        entities=tuple(entities),
        traffic=description.endpoint.traffic,
    ).write(models)
    return description


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str, str]:
        """Status, error code and message of a refusal, which has nothing else."""
        assert self.headers["content-type"] == "application/json"
        body = self.json
        assert set(body) == {"error_code", "message"}
        return self.status, body["error_code"], body["message"]


def answer_of(messages: list[dict[str, Any]]) -> Answer:
    """The answer that was sent in messages of ASGI; status 0 if none was."""
    if not messages:
        return Answer(0, {}, b"")
    start, *rest = messages
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert len(headers) == len(start["headers"])
    return Answer(int(start["status"]), headers, b"".join(part["body"] for part in rest))


class InProcess:
    """Asks an endpoint that lives in a loop of its own."""

    def __init__(
        self, endpoint: Endpoint, description: ServingConfiguration, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.endpoint = endpoint
        self.description = description
        self.loop = loop
        self._log = description.server.folder / LOG

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request; a body in parts comes as several messages."""
        return self.loop.run_until_complete(self.asked(method, path, body, headers))

    def post(self, body: Any, path: str = "/invocations", **headers: str) -> Answer:
        """Invoke; what is no bytes is sent as JSON."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, sent, JSON | named)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, b"", headers)

    async def asked(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        parts = [body] if isinstance(body, bytes) else list(body)
        messages = [
            {"type": "http.request", "body": part, "more_body": number < len(parts)}
            for number, part in enumerate(parts, start=1)
        ]
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [
                (name.lower().encode("latin-1"), value.encode("latin-1"))
                for name, value in (headers or {}).items()
            ],
        }
        await asyncio.wait_for(self.endpoint(scope, receive, send), _SECONDS)
        return answer_of(sent)

    def log_lines(self) -> list[dict[str, Any]]:
        """The lines of requests so far."""
        self.endpoint._log.flush()
        return [json.loads(line) for line in self._log.read_bytes().splitlines()]


@asynccontextmanager
async def _living(endpoint: Endpoint, *, with_model: bool) -> AsyncIterator[None]:
    """As uvicorn starts and stops an application."""
    to_do: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    done: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    life = asyncio.create_task(endpoint({"type": "lifespan"}, to_do.get, done.put))
    await to_do.put({"type": "lifespan.startup"})
    assert (await done.get())["type"] == "lifespan.startup.complete"
    async with asyncio.timeout(_SECONDS):
        while with_model and not endpoint._entities.ready:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    yield
    await to_do.put({"type": "lifespan.shutdown"})
    assert (await done.get())["type"] == "lifespan.shutdown.complete"
    await life


@contextmanager
def started(
    description: ServingConfiguration, tokens: dict[str, str] | None = None
) -> Iterator[InProcess]:
    """Start the endpoint, and stop it in the end.

    Args:
        description: What it is.
        tokens: By name of who may ask; everybody if None.
    """
    folder = description.server.folder
    folder.mkdir(parents=True, exist_ok=True)
    pairs = ",".join(f"{name}:{token}" for name, token in (tokens or {}).items())
    with_model = Deployment.read(description.server.models) is not None
    with (folder / LOG).open("wb") as log, asyncio.Runner() as runner:
        loop = runner.get_loop()
        taken = Tokens.from_environment({"MARVEL_TOKENS": pairs})
        endpoint = Endpoint(description, taken, AccessLog(log.fileno()))
        life = _living(endpoint, with_model=with_model)
        loop.run_until_complete(life.__aenter__())
        yield InProcess(endpoint, description, loop)
        loop.run_until_complete(life.__aexit__(None, None, None))
