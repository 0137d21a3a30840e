"""How it is sent: at a rate, over connections that stay open, and counted."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
import numpy as np

from marvel_kedro.core.errors import ProjectError, without_password
from marvel_kedro.core.progress import progress_logger
from marvel_kedro.simulation.traffic_plan import Day, Request

PATIENCE_SECONDS = 5.0
"""For so long a server may be silent once it has answered."""

_TIMEOUT = aiohttp.ClientTimeout(total=60)
_LATE_SECONDS = 0.01
_QUANTILES = (50, 90, 99, 100)
_MOST_OF_AN_ANSWER = 200


@dataclass
class Tally:
    """What came of requests.

    Attributes:
        statuses: Answers by status, and what went unanswered by what happened.
        entities: Answers by who says to have given them.
        refusals: What the first answer of each other status than 200 said.
        latencies: Seconds from when a request was due to the whole answer.
        late: Requests that found no free connection when they were due.
        seconds: How long it took.
    """

    statuses: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    refusals: dict[str, str] = field(default_factory=dict)
    latencies: list[float] = field(default_factory=list)
    late: int = 0
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        """How many were sent."""
        return self.statuses.total()

    def add(self, other: "Tally") -> None:
        """Count another one's requests as well."""
        self.statuses += other.statuses
        self.entities += other.entities
        self.refusals = other.refusals | self.refusals
        self.latencies += other.latencies
        self.late += other.late
        self.seconds += other.seconds

    def lines(self) -> list[str]:
        """The figures for people."""
        rate = self.requests / self.seconds if self.seconds else 0.0
        told = [f"{self.requests:,} requests in {self.seconds:.1f} s: {rate:,.0f} a second"]
        if self.late:
            told.append(f"late      {self.late:,} found no free connection when they were due")
        if self.latencies:
            marks = np.percentile(self.latencies, _QUANTILES) * 1000
            names = (*(f"p{quantile}" for quantile in _QUANTILES[:-1]), "max")
            figures = (f"{name} {mark:.1f} ms" for name, mark in zip(names, marks, strict=True))
            told.append(f"latency   {'   '.join(figures)}")
        told += [f"{what:10}{_counts(found)}" for what, found in self._counted if found]
        return told + [f"{status} said: {words}" for status, words in sorted(self.refusals.items())]

    @property
    def _counted(self) -> list[tuple[str, Counter[str]]]:
        return [("status", self.statuses), ("entity", self.entities)]


def _counts(found: Counter[str]) -> str:
    return "   ".join(f"{what} {number:,}" for what, number in found.most_common())


def replay(  # noqa: PLR0913 - all but two by name
    made: Sequence[Request],
    sender: "Sender",
    *,
    rate: float,
    connections: int,
    tally: Tally,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> None:
    """Send requests at a rate: each when it is due, whatever became of those before.

    Only when every connection waits for an answer does a request wait for one, and then its
    latency is counted from when it was due.

    Args:
        made: The requests.
        sender: Who sends them.
        rate: Requests a second.
        connections: How many may wait for an answer at once.
        tally: Where they are counted.
        progress: Is told how many are sent, and of how many.

    Raises:
        ProjectError: Nobody answers.
    """
    began = time.perf_counter()
    try:
        asyncio.run(
            _replay(
                made,
                sender,
                rate=rate,
                connections=connections,
                tally=tally,
                progress=progress,
            )
        )
    finally:
        tally.seconds += time.perf_counter() - began


async def _replay(  # noqa: PLR0913 - as above
    made: Sequence[Request],
    sender: "Sender",
    *,
    rate: float,
    connections: int,
    tally: Tally,
    progress: Callable[[int, int], None],
) -> None:
    began = time.perf_counter()
    numbers = iter(range(len(made)))  # of all connections: each takes the next one

    async def use(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            due = began + due_after(number, rate)
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
                due = time.perf_counter()  # timers are a millisecond late, not the server
            elif wait < -_LATE_SECONDS:
                tally.late += 1
            await sender.send(session, made[number], due, tally)
            progress(number + 1, len(made))

    connector = aiohttp.TCPConnector(limit=connections)
    async with aiohttp.ClientSession(
        connector=connector, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        await asyncio.gather(*(use(session) for _ in range(connections)))


def due_after(number: int, rate: float) -> float:
    """After how many seconds a request is due, counted from 0."""
    return number / rate


class Sender:
    """Sends requests to one address.

    Args:
        url: The address.
        token: The bearer token, if the server wants one.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        self._url = url
        self._headers = {"content-type": "application/json"}
        if token:
            self._headers["authorization"] = f"Bearer {token}"
        self._answered_at: float | None = None

    async def send(
        self, session: aiohttp.ClientSession, request: Request, due: float, tally: Tally
    ) -> None:
        """Send a request and count what came of it.

        Raises:
            ProjectError: Nobody has answered for a while.
        """
        headers = self._headers | {"x-simulated-time": request.at}
        try:
            async with session.post(self._url, data=request.body, headers=headers) as answer:
                said = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            tally.statuses[f"no answer ({type(error).__name__})"] += 1
            self._refuse_silence(error)
            return
        self._answered_at = time.perf_counter()
        tally.latencies.append(self._answered_at - due)
        status = str(answer.status)
        tally.statuses[status] += 1
        if entity := answer.headers.get("served-model-name"):
            tally.entities[entity] += 1
        if answer.status != 200 and status not in tally.refusals:  # noqa: PLR2004 - of HTTP
            words = without_password(said.decode(errors="replace"))
            tally.refusals[status] = " ".join(words.split())[:_MOST_OF_AN_ANSWER]

    def _refuse_silence(self, error: Exception) -> None:
        where = without_password(self._url)
        if self._answered_at is None:
            raise ProjectError(
                f"Nobody answers at {where} ({error}). Start the server, kedro serve, or say "
                "where it is: --url."
            ) from error
        if time.perf_counter() - self._answered_at > PATIENCE_SECONDS:
            raise ProjectError(
                f"The server at {where} has not answered for {PATIENCE_SECONDS:.0f} s ({error}). "
                "Look at what it printed."
            ) from error


def replay_day(day: Day, sender: Sender, *, rate: float, connections: int, total: Tally) -> Tally:
    """Send the requests of a day; they are added to the total even if it is broken off."""
    tally = Tally()
    try:
        log = progress_logger(f"requests of day {day.number}")
        replay(day.requests, sender, rate=rate, connections=connections, tally=tally, progress=log)
    finally:
        total.add(tally)
    return tally
