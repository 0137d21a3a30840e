"""Replay traffic at a rate over persistent connections, and count the responses."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import numpy as np

from marvel_kedro.core.errors import ProjectError, shortened, without_password
from marvel_kedro.core.progress import progress_logger
from marvel_kedro.simulation.traffic_plan import Day, Request

MAX_SILENCE_SECONDS = 5.0
"""Maximum time without a response from a server that has responded before."""

_TIMEOUT = aiohttp.ClientTimeout(total=60)
_LATE_SECONDS = 0.01
_MAX_ERROR_CHARACTERS = 200


@dataclass
class Tally:
    """Counts of requests and responses."""

    # Responses by status, and requests without a response by exception.
    statuses: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)  # responses by served entity
    # The beginning of the first response of each status other than 200.
    errors: dict[str, str] = field(default_factory=dict)
    # Seconds from the due time of a request to its whole response.
    latencies: list[float] = field(default_factory=list)
    late: int = 0  # requests that found no free connection when they were due
    seconds: float = 0.0  # duration of the replay

    @property
    def requests(self) -> int:
        """Return the number of requests that were sent."""
        return self.statuses.total()

    def add(self, other: "Tally") -> None:
        """Add the counts of another tally."""
        self.statuses += other.statuses
        self.entities += other.entities
        self.errors = other.errors | self.errors
        self.latencies += other.latencies
        self.late += other.late
        self.seconds += other.seconds

    def lines(self) -> list[str]:
        """Format the counts for the terminal."""
        rate = self.requests / self.seconds if self.seconds else 0.0
        lines = [f"{self.requests:,} requests in {self.seconds:.1f} s: {rate:,.0f} a second"]
        if self.late:
            lines.append(f"late      {self.late:,} found no free connection when they were due")
        if self.latencies:
            p50, p90, p99, top = np.percentile(self.latencies, (50, 90, 99, 100)) * 1000
            figures = f"p50 {p50:.1f} ms   p90 {p90:.1f} ms   p99 {p99:.1f} ms   max {top:.1f} ms"
            lines.append(f"latency   {figures}")
        for name, counts in (("status", self.statuses), ("entity", self.entities)):
            if counts:
                shown = (f"{what} {number:,}" for what, number in counts.most_common())
                lines.append(f"{name:10}{'   '.join(shown)}")
        lines += [f"{status} response: {text}" for status, text in sorted(self.errors.items())]
        return lines


class Sender:
    """Sends requests to one address, with a bearer token if the server requires one."""

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._responded_at: float | None = None

    async def send(
        self, session: aiohttp.ClientSession, request: Request, due: float, tally: Tally
    ) -> None:
        """Send a request and count its response.

        Raises:
            ProjectError: The server does not respond at all, or no longer.
        """
        headers = self._headers | {"x-simulated-time": request.at}
        try:
            async with session.post(self._url, data=request.body, headers=headers) as response:
                content = await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            tally.statuses[f"no response ({type(error).__name__})"] += 1
            self._check_silence(error)
            return
        self._responded_at = time.perf_counter()
        tally.latencies.append(self._responded_at - due)
        status = str(response.status)
        tally.statuses[status] += 1
        if entity := response.headers.get("served-model-name"):
            tally.entities[entity] += 1
        if response.status != 200 and status not in tally.errors:  # noqa: PLR2004 - of HTTP
            text = without_password(content.decode(errors="replace"))
            tally.errors[status] = shortened(text, _MAX_ERROR_CHARACTERS)

    def _check_silence(self, error: Exception) -> None:
        url = without_password(self._url)
        if self._responded_at is None:
            raise ProjectError(
                f"No server responds at {url} ({error}). Start it with kedro serve, or give its "
                "address with --url."
            ) from error
        if time.perf_counter() - self._responded_at > MAX_SILENCE_SECONDS:
            raise ProjectError(
                f"The server at {url} has not responded for {MAX_SILENCE_SECONDS:.0f} s ({error}). "
                "Read its log."
            ) from error


def replay(  # noqa: PLR0913 - all but two by name
    requests: Sequence[Request],
    sender: Sender,
    *,
    rate: float,
    connections: int,
    tally: Tally,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Send each request when it is due, without waiting for earlier responses (open loop).

    A request waits only while every connection waits for a response. Its latency is then counted
    from its due time. `rate` is in requests per second. `connections` is the maximum number of
    requests that wait for a response. `tally` receives the counts. `progress` is called with the
    number of requests that were sent, and their total.

    Raises:
        ProjectError: The server does not respond at all, or no longer.
    """
    numbered = enumerate(requests)  # shared by the connections: each takes the next one

    async def send_all() -> None:
        began = time.perf_counter()
        connector = aiohttp.TCPConnector(limit=connections)
        async with aiohttp.ClientSession(
            connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
        ) as session:
            await asyncio.gather(*(use_connection(session, began) for _ in range(connections)))

    async def use_connection(session: aiohttp.ClientSession, began: float) -> None:
        for number, request in numbered:
            due = began + due_after(number, rate)
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
                due = time.perf_counter()  # the delay of the timer is not the server's
            elif wait < -_LATE_SECONDS:
                tally.late += 1
            await sender.send(session, request, due, tally)
            progress(number + 1, len(requests))

    began = time.perf_counter()
    try:
        asyncio.run(send_all())
    finally:
        tally.seconds += time.perf_counter() - began


def due_after(number: int, rate: float) -> float:
    """Return the seconds from the start to the due time of a request, counted from 0."""
    return number / rate


def replay_day(day: Day, sender: Sender, *, rate: float, connections: int, total: Tally) -> Tally:
    """Send the requests of a day, and add its tally to the total even if it is interrupted."""
    tally = Tally()
    try:
        log = progress_logger(f"requests of day {day.number}")
        replay(day.requests, sender, rate=rate, connections=connections, tally=tally, progress=log)
    finally:
        total.add(tally)
    return tally
