"""Requests that still run when the grace period of a stop is over."""

import asyncio
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from support.in_process import BODY, deploy
from support.running_server import RECORD, Store, describe
from support.uvicorn_server import SECONDS, serving, until

from marvel_kedro.serving.http.access_log import AccessLog
from marvel_kedro.serving.http.app import Endpoint
from marvel_kedro.serving.http.auth import Tokens

HEAD = b"%b HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


async def send(app: Any, line: bytes, body: bytes, sent: int | None = None) -> Any:
    reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
    writer.write(HEAD % (line, len(body)) + body[:sent])
    return reader, writer


def counted(code: str) -> float:
    """Return the requests that no model answered with a code."""
    labels = {"served_entity": "champion", "model_version": "1", "code": code}
    without = labels | {"served_entity": "", "model_version": ""}
    values = [REGISTRY.get_sample_value("marvel_requests_total", one) for one in (labels, without)]
    return sum(value or 0.0 for value in values)


def test_request_that_outlives_the_grace_period_is_refused_recorded_and_counted(
    registered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its body has not arrived, it waits for a thread, or one runs."""
    configuration = deploy(describe(tmp_path, threads=1), registered)
    batch = json.dumps({"inputs": [RECORD] * 40}).encode()
    ends, lines = threading.Event(), bytearray()

    def wait(*_: object) -> Any:
        assert ends.wait(SECONDS)

    async def run() -> list[bytes]:
        app: Any = Endpoint(configuration, Tokens({}), AccessLog(lines.extend))
        async with serving(app, lifespan="on", timeout_graceful_shutdown=1):
            assert app._entities.ready
            monkeypatch.setattr(app, "_complete_and_score", wait)
            connections = [
                await send(app, b"POST /invocations", json.dumps(BODY).encode(), 20),
                await send(app, b"POST /invocations", batch),
                await send(app, b"POST /invocations", batch),
            ]
            await until(lambda: len(app._deadlines) == 3)
        found = [await asyncio.wait_for(reader.read(), SECONDS) for reader, _ in connections]
        for _, writer in connections:
            writer.close()
        return found

    before = counted("503")
    try:
        answers = asyncio.run(run())
    finally:
        ends.set()
    for answer in answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"content-type: application/json" in head
        assert b"retry-after: 1" in head
        assert json.loads(body)["error_code"] == "TEMPORARILY_UNAVAILABLE"
        assert "Send it again" in json.loads(body)["message"]
    (spooled,) = configuration.server.spool.glob("*.closed")
    rows = [json.loads(line) for line in spooled.read_bytes().splitlines()]
    assert [row["status_code"] for row in rows] == [503] * 3
    assert sorted(len(row["request"] or "") for row in rows) == [0, len(batch), len(batch)]
    logged = [json.loads(line) for line in lines.splitlines()]
    assert [line["status"] for line in logged if "status" in line] == [503] * 3
    assert counted("503") - before == 3
