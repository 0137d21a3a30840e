"""An application in this process behind uvicorn, with the project's protocol."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from marvel_kedro.serving.processes.uvicorn_internals import HttpProtocol

SECONDS = 20.0


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[uvicorn.Server]:
    """Serve with the project's protocol until the end of the block."""
    options = {"lifespan": "off", "log_level": "error"} | options
    config = uvicorn.Config(app, http=HttpProtocol, **options)
    server = uvicorn.Server(config)
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        app.port = sock.getsockname()[1]
        task = asyncio.create_task(server.serve([sock]))
        async with asyncio.timeout(SECONDS):
            while not server.started:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        yield server
        server.should_exit = True
        await asyncio.wait_for(task, SECONDS)


async def until(true: Callable[[], object], seconds: float = SECONDS) -> None:
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
