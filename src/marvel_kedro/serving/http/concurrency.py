"""Limits on what one worker does at a time: requests, bytes of large bodies, threads."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Any, Protocol

from marvel_kedro.serving.configuration import Limits
from marvel_kedro.serving.http.errors import RequestError


class BodyHolder(Protocol):
    """A request, with the bytes that are reserved for its body."""

    reserved_bytes: int


class ConcurrencyLimit:
    """The concurrency limits of a worker; above them requests get a 429 with Retry-After.

    Attributes:
        abandoned: Requests that were answered with 504 while their thread still runs.
    """

    def __init__(self, limits: Limits, threads: int) -> None:
        """Take the endpoint's limits and the number of threads for batches."""
        self.abandoned = 0
        self._limits = limits
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

    def reserve(self, holder: BodyHolder, length: int) -> None:
        """Reserve the bytes of a large body, before they arrive if their number is known.

        Args:
            holder: The request.
            length: Bytes of its body; of a body in chunks the bytes so far.

        Raises:
            RequestError: 429; no further bytes are reserved then.
        """
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

    def _too_many(self, message: str) -> RequestError:
        return RequestError(
            HTTPStatus.TOO_MANY_REQUESTS,
            "REQUEST_LIMIT_EXCEEDED",
            f"{message} Retry later.",
            ((b"retry-after", str(self._limits.retry_after).encode()),),
        )
