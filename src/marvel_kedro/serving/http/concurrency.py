"""How much a worker takes upon itself at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol

from marvel_kedro.serving.configuration import Limits
from marvel_kedro.serving.http.errors import Refusal


class Holder(Protocol):
    """A request.

    Attributes:
        held: Bytes of its body, if that is a large one.
    """

    held: int


@dataclass(slots=True)
class _Left:
    """What a request has left behind."""

    held: int


class Capacity:
    """What is held by the requests of a worker, and whether there is room for more.

    Attributes:
        left: Requests that were answered, since they were late, while a thread goes on with them.
    """

    def __init__(self, limits: Limits, threads: int) -> None:
        """Args are the limits of the endpoint, and how many threads there are for batches."""
        self.left = 0
        self._limits = limits
        self._held = 0
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="score")
        # The pool's own queue keeps what nobody waits for any more, bodies included.
        self._free_threads = asyncio.Semaphore(threads)

    def check(self, requests: int) -> None:
        """Whether so many requests at once, with those that are left, are not too many.

        Raises:
            Refusal: 429.
        """
        if requests + self.left > self._limits.concurrency:
            raise self._busy(f"More than {self._limits.concurrency} requests at once.")

    async def in_thread(self, holder: Holder, function: Callable[..., Any], *arguments: Any) -> Any:  # noqa: ANN401
        """Call a function in a thread, as soon as one is free.

        A thread cannot be ended. If its request is, it keeps its place among those at once, and
        what it holds, until the function is done.
        """
        await self._free_threads.acquire()
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._threads, function, *arguments)
        work.add_done_callback(lambda _: self._free_threads.release())
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            if not work.done():
                self._leave(holder, work)
            raise

    def _leave(self, holder: Holder, work: asyncio.Future[Any]) -> None:
        kept = _Left(holder.held)
        holder.held = 0
        self.left += 1

        def done(_: object) -> None:
            self.left -= 1
            self.let_go(kept)

        work.add_done_callback(done)

    def hold(self, holder: Holder, length: int) -> None:
        """Count the bytes of a large body, before they are there as far as their number is said.

        Args:
            holder: Its request.
            length: Bytes of the body; of one that comes in chunks those up to now.

        Raises:
            Refusal: 429; nothing more is held then.
        """
        more = max(0, length - holder.held)
        if self._held + more > self._limits.held_bytes:
            raise self._busy(
                f"Large bodies have more than {self._limits.held_bytes:,} bytes at once."
            )
        self._held += more
        holder.held += more

    def let_go(self, holder: Holder) -> None:
        """Give back what a request has held, however it has ended."""
        self._held -= holder.held
        holder.held = 0

    def _busy(self, message: str) -> Refusal:
        return Refusal(
            HTTPStatus.TOO_MANY_REQUESTS,
            "REQUEST_LIMIT_EXCEEDED",
            f"{message} Come again later.",
            ((b"retry-after", str(self._limits.retry_after).encode()),),
        )
