"""Measure the time and the peak memory of the stages of a process."""

import json
import resource
import time


class Stages:
    """Stopwatch for wall time by stage, and the peak resident memory at the end of each."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self._seconds: dict[str, float] = {}
        self._megabytes: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        """Add the time since the last lap to a stage."""
        now = time.perf_counter()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + now - self._last
        peak_kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        self._megabytes[stage] = peak_kilobytes / 1000
        self._last = now

    def print(self) -> None:
        """Print the stages as one line of JSON."""
        print(json.dumps({"seconds": self._seconds, "megabytes": self._megabytes}))
