"""Limits of one worker: size of a body, concurrent requests, bytes, threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Protocol

from starlette.types import Receive

from marvel_kedro.serving.configuration import Limits
from marvel_kedro.serving.http.errors import RequestError, invalid_value, too_large

SMALL_BODY_BYTES = 64 * 1024
"""Bodies up to this size are not reserved: as many as the request limit admits fit into memory."""


class ClientDisconnectedError(Exception):
    """The client disconnected before the end of its request."""


class BodyHolder(Protocol):
    """A request, with the bytes that are reserved for its body."""

    reserved_bytes: int


class WorkerLimits:
    """The limits of a worker; above those of concurrency requests get a 429 with Retry-After.

    Attributes:
        abandoned: Requests that were answered with 504 while their thread still runs.
    """

    def __init__(self, limits: Limits, threads: int) -> None:
        self.abandoned = 0
        self._limits = limits
        self._unreserved_bytes = min(SMALL_BODY_BYTES, limits.body_bytes)
        self._reserved = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="score")
        # The executor's own queue would keep cancelled requests, bodies included.
        self._free_threads = asyncio.Semaphore(threads)

    def check(self, requests: int) -> None:
        """Check the number of concurrent requests, abandoned ones included.

        Raises:
            RequestError: 429.
        """
        if requests + self.abandoned > self._limits.concurrency:
            raise self._too_many(f"More than {self._limits.concurrency} requests at once.")

    def check_records(self, records: int) -> None:
        """Check the number of records of a request.

        Raises:
            RequestError: 400.
        """
        if records > self._limits.records:
            raise invalid_value(
                f"{records:,} records are more than the limit of {self._limits.records:,} "
                "a request. Send them in several requests."
            )

    async def read_body(
        self, holder: BodyHolder, receive: Receive, content_length: bytes | None
    ) -> bytes:
        """Read a body, and reserve the bytes of a large one as soon as they are known.

        Raises:
            RequestError: 413 or 429, before the bytes arrive if their number is known.
            ClientDisconnectedError: The body is incomplete.
        """
        length = int(content_length[:20]) if content_length and content_length.isdigit() else 0
        if length > self._unreserved_bytes:
            self.reserve(holder, length)
        parts: list[bytes] = []
        length = 0
        while (message := await receive())["type"] != "http.disconnect":
            part: bytes = message.get("body", b"")
            length += len(part)
            if length > self._unreserved_bytes:
                self.reserve(holder, length)
            if not message.get("more_body"):
                return b"".join([*parts, part]) if parts else part
            parts.append(part)
        raise ClientDisconnectedError

    def reserve(self, holder: BodyHolder, length: int) -> None:
        """Reserve the bytes of a large body, those so far if more may follow.

        Raises:
            RequestError: 413 or 429; then no more are reserved.
        """
        if length > self._limits.body_bytes:
            raise too_large(self._limits.body_bytes)
        more = max(0, length - holder.reserved_bytes)
        if self._reserved + more > self._limits.held_bytes:
            raise self._too_many(
                f"Large bodies have more than {self._limits.held_bytes:,} bytes at once."
            )
        self._reserved += more
        holder.reserved_bytes += more

    def release(self, holder: BodyHolder) -> None:
        """Release the bytes of a request that has ended."""
        self._reserved -= holder.reserved_bytes
        holder.reserved_bytes = 0

    async def in_thread(self, holder: BodyHolder, function: Callable[..., Any], *args: Any) -> Any:  # noqa: ANN401
        """Call a function in a thread as soon as one is free.

        A thread cannot be cancelled. If the request is cancelled, it counts as a concurrent
        request, and its bytes stay reserved, until the function returns.
        """
        await self._free_threads.acquire()
        work = asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        work.add_done_callback(lambda _: self._free_threads.release())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if not work.done():
                self._abandon(holder, work)
            raise

    def _abandon(self, holder: BodyHolder, work: asyncio.Future[Any]) -> None:
        reserved, holder.reserved_bytes = holder.reserved_bytes, 0
        self.abandoned += 1

        def done(_: object) -> None:
            self.abandoned -= 1
            self._reserved -= reserved

        work.add_done_callback(done)

    def _too_many(self, message: str) -> RequestError:
        return RequestError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "REQUEST_LIMIT_EXCEEDED",
            f"{message} Retry later.",
            ((b"retry-after", str(self._limits.retry_after).encode()),),
        )
