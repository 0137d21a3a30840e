"""Limits of a worker: concurrent requests, bytes of large bodies, threads."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.in_process import BODY, JSON, InProcess, deploy, started
from support.running_server import RECORD, Store, describe

from marvel_kedro.serving.telemetry import metrics

LARGE = 100_000
BATCH = {"dataframe_records": [RECORD] * 40}


def test_more_concurrent_requests_than_the_limit_get_429(registered: Store, tmp_path: Path) -> None:
    limits = {"concurrency": 2, "retry_after": 7}
    with started(deploy(describe(tmp_path, limits=limits), registered)) as endpoint:

        async def at_once() -> list[Any]:
            return await asyncio.gather(*(endpoint.post_slowly(0.1) for _ in range(5)))

        answers = endpoint.loop.run_until_complete(at_once())
        assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429]
        rejected = next(answer for answer in answers if answer.status == 429)
        assert rejected.error[1] == "REQUEST_LIMIT_EXCEEDED"
        assert rejected.headers["retry-after"] == "7"
        assert endpoint.post(BODY).status == 200


# --- large bodies ---


@pytest.fixture
def one_large(registered: Store, tmp_path: Path) -> Iterator[InProcess]:
    """An endpoint with room for one body of the maximum size: a byte not released shows."""
    limits = {"body_bytes": LARGE, "held_bytes": LARGE, "seconds": 0.5, "retry_after": 7}
    with started(deploy(describe(tmp_path, limits=limits), registered)) as found:
        yield found


def has_room(endpoint: InProcess) -> bool:
    return endpoint.post(json.dumps(BODY).ljust(LARGE).encode()).status == 200


def test_more_large_bodies_than_the_limit_get_429(one_large: InProcess) -> None:
    async def at_once() -> tuple[Any, ...]:
        length = [(b"content-length", b"90000")]
        first = asyncio.create_task(one_large.post_slowly(0.2, length))
        await asyncio.sleep(0.05)
        declared = await one_large.post_slowly(0.0, length)
        parts = [b" " * 40_000] * 2
        undeclared = await one_large.request_async("POST", "/invocations", parts, JSON)
        small = await one_large.post_slowly(0.0)
        return await first, small, declared, undeclared

    *accepted, declared, undeclared = one_large.loop.run_until_complete(at_once())
    assert [answer.status for answer in accepted] == [200, 200]
    for answer in (declared, undeclared):
        assert answer.error[:2] == (429, "REQUEST_LIMIT_EXCEEDED")
        assert f"{LARGE:,} bytes" in answer.error[2]
        assert answer.headers["retry-after"] == "7"
    assert [row["status_code"] for row in one_large.rows()].count(429) == 2
    assert has_room(one_large)


def test_bytes_of_large_bodies_are_released_however_the_request_ends(
    one_large: InProcess,
) -> None:
    headers = JSON | {"content-length": f"{LARGE}"}
    parts = [b"[" * 40_000] * 2
    for sent, status in (
        (parts, 400),  # not JSON
        ([*parts, *parts], 413),
        ([], 0),  # the client has disconnected
    ):
        assert one_large.request("POST", "/invocations", sent, headers).status == status
        assert has_room(one_large), status
    length = [(b"content-length", b"%d" % LARGE)]
    assert one_large.loop.run_until_complete(one_large.post_slowly(20, length)).status == 504
    assert has_room(one_large)

    async def cancelled() -> None:
        task = asyncio.create_task(one_large.post_slowly(20, length))
        await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    one_large.loop.run_until_complete(cancelled())
    assert has_room(one_large)


# --- threads ---


class SlowModel:
    """A replacement for the model of an endpoint, whose batches end when a test says so."""

    def __init__(self, endpoint: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_done = threading.Event()
        self.at_once: list[int] = []
        self._running = 0
        self._lock = threading.Lock()
        served = endpoint.app._entities.choose(None)
        monkeypatch.setattr(
            endpoint.app._entities,
            "choose",
            lambda _: replace(served, loaded=replace(served.loaded, score=self._score)),
        )

    def _score(self, records: list[Any]) -> list[tuple[str, float]]:
        if len(records) > 1:
            with self._lock:
                self._running += 1
                self.at_once.append(self._running)
            assert self.is_done.wait(30)
            with self._lock:
                self._running -= 1
        return [("Alive", 0.5)] * len(records)


def wait_until(endpoint: InProcess, true: Callable[[], bool]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    endpoint.loop.run_until_complete(wait())


def test_abandoned_batch_counts_until_its_thread_is_free(
    registered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(BATCH).ljust(LARGE).encode()
    limits = {"concurrency": 2, "seconds": 0.3, "body_bytes": LARGE, "held_bytes": 2 * LARGE - 1}
    with started(deploy(describe(tmp_path, limits=limits), registered)) as endpoint:
        model = SlowModel(endpoint, monkeypatch)
        assert endpoint.post(body).status == 504
        assert endpoint.post(BODY).status == 200
        rejected = endpoint.post(b" " * LARGE)
        assert rejected.error[0] == 429
        assert "Large bodies" in rejected.error[2]
        assert endpoint.post(BATCH).status == 504
        for sent in (BODY, BATCH, b"{"):
            rejected = endpoint.post(sent)
            assert rejected.error[0] == 429
            assert "More than 2 requests" in rejected.error[2]
        wait_until(endpoint, lambda: metrics.IN_PROGRESS._value.get() == 2)
        model.is_done.set()
        wait_until(endpoint, lambda: endpoint.app._worker_limits.abandoned == 0)
        assert [endpoint.post(sent).status for sent in (body, BATCH, BODY)] == [200] * 3
        wait_until(endpoint, lambda: metrics.IN_PROGRESS._value.get() == 0)


def test_batches_use_no_more_threads_than_configured(
    registered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"concurrency": 20, "seconds": 0.5}
    with started(deploy(describe(tmp_path, limits=limits, threads=3), registered)) as endpoint:
        model = SlowModel(endpoint, monkeypatch)

        def at_once(number: int) -> list[int]:
            sent = json.dumps(BATCH).encode()
            requests = [
                endpoint.request_async("POST", "/invocations", sent, JSON) for _ in range(number)
            ]

            async def statuses() -> list[int]:
                return [answer.status for answer in await asyncio.gather(*requests)]

            return endpoint.loop.run_until_complete(statuses())

        assert at_once(10) == [504] * 10
        # Requests without a thread have ended; three go on and keep their threads.
        assert at_once(10) == [504] * 10
        assert model.at_once == [1, 2, 3]
        assert endpoint.post(BODY).status == 200
        model.is_done.set()
        assert at_once(17) == [200] * 17
        assert max(model.at_once) == 3
