"""Serve the smallest peers: an ASGI application that only calls the booster, and an empty one.

The first reads the body as JSON, scores rows of precomputed features and answers: no features, no
checks, no routing, no table, no metrics. MODEL is the folder of the model's files.
"""

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from marvel_kedro.model.portable.predictor import TabularModel

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_MODEL = TabularModel.load(Path(os.environ["MODEL"]))
_ROW = np.zeros((1, len(_MODEL.features.names)), dtype=np.float32)
_BOOSTER = _MODEL.booster


async def booster(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the booster's probabilities."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    records = orjson.loads(await _read(receive))["dataframe_records"]
    rows = _ROW if len(records) == 1 else np.repeat(_ROW, len(records), axis=0)
    found = np.asarray(_BOOSTER.predict(rows)).tolist()
    await _answer(send, orjson.dumps({"predictions": [{"probability": one} for one in found]}))


async def empty(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with an empty object."""
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    await _read(receive)
    await _answer(send, b"{}")


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


async def _answer(send: Send, body: bytes) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
