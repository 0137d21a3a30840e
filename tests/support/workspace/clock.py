"""A time for tests that wait."""

from dataclasses import dataclass, field


@dataclass
class Clock:
    """A clock that advances only when a test sleeps."""

    now: float = 1000.0
    slept: list[float] = field(default_factory=list)

    def time(self) -> float:
        return self.now

    monotonic = time

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)
