"""What Prometheus is told: one truth for all processes of a server.

Each process counts in files of its own, in the folder PROMETHEUS_MULTIPROC_DIR; whoever is asked
adds them up. Counts of a worker that died stay.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip

REQUESTS = Counter(
    "marvel_requests", "Answered requests", ["served_entity", "model_version", "code"]
)
SECONDS = Histogram(
    "marvel_request_duration_seconds",
    "From the first byte of a request to its answer",
    ["served_entity", "model_version"],
    buckets=_SECONDS,
)
RECORDS = Counter("marvel_records", "Scored records", ["served_entity", "model_version"])
ALIVE = Counter(
    "marvel_predicted_alive", "Records scored as Alive", ["served_entity", "model_version"]
)
IN_PROGRESS = Gauge(
    "marvel_requests_in_progress",
    "Requests that are being answered, and batches that go on after their 504",
    multiprocess_mode="livesum",
)
PAGES = Counter("marvel_page_requests", "Requests of everything but invocations", ["path", "code"])
GONE = Counter("marvel_clients_gone", "Requests whose client went away before their end")
DROPPED = Counter("marvel_inference_log_dropped", "Requests that were not written down", ["reason"])
for _reason in ("disk_full", "spool_full", "segment_lost", "io"):
    DROPPED.labels(_reason)  # from zero on, else the first loss is no increase that alerts see
LOGGED = Counter("marvel_inference_log_rows", "Requests that are in the inference table")
LAG = Gauge(
    "marvel_inference_log_lag_seconds",
    "Age of the oldest request that is not yet in the inference table",
    multiprocess_mode="mostrecent",
)
LOG_FAILING = Gauge(
    "marvel_inference_log_failing",
    "Whether the inference table could not be written to, last time",
    multiprocess_mode="mostrecent",
)
SERVED = Gauge(
    "marvel_served_version",
    "1 for the versions that a worker answers with",
    ["served_entity", "model", "model_version"],
    multiprocess_mode="livemax",
)
TRAFFIC = Gauge(
    "marvel_traffic_percent",
    "Share of the traffic, among those who can answer",
    ["served_entity"],
    multiprocess_mode="mostrecent",
)
DEPLOYMENT_FAULTS = Gauge(
    "marvel_deployment_faults",
    "Served entities that are not as described, in a worker or all, the registry included",
    multiprocess_mode="livemax",
)
LOAD_FAILURES = Counter(
    "marvel_model_load_failures", "Versions that could not be loaded", ["served_entity"]
)
READY = Gauge("marvel_workers_ready", "Workers that have a model", multiprocess_mode="livesum")
WORKERS = Gauge("marvel_workers", "Worker processes", multiprocess_mode="mostrecent")
RESTARTS = Counter("marvel_worker_restarts", "Worker processes that died and were replaced")


class Tally:
    """Counts of one worker since they were last handed on.

    What `prometheus_client` takes for one count in a file that processes share is a fifth of what
    a request takes. So requests are counted here, and handed on some times a second.
    """

    def __init__(self) -> None:
        self._requests: list[tuple[str, str, int, float]] = []
        self._records: dict[tuple[str, str], list[int]] = {}

    def request(self, entity: str, version: str, code: int, seconds: float) -> None:
        """Count an answered request; `entity` and `version` are empty if nobody was asked."""
        self._requests.append((entity, version, code, seconds))

    def records(self, entity: str, version: str, scored: list[tuple[str, float]]) -> None:
        """Count the records of a request by what was predicted."""
        counts = self._records.setdefault((entity, version), [0, 0])
        counts[0] += len(scored)
        for prediction, _ in scored:
            counts[1] += prediction == "Alive"

    def hand_on(self) -> None:
        """Let `prometheus_client` have the counts."""
        requests, self._requests = self._requests, []
        records, self._records = self._records, {}
        codes = Counts(request[:3] for request in requests)
        for (entity, version, code), number in codes.items():
            REQUESTS.labels(entity, version, str(code)).inc(number)
        durations: dict[tuple[str, str], list[float]] = {}
        for entity, version, _, seconds in requests:
            durations.setdefault((entity, version), []).append(seconds)
        for labels, values in durations.items():
            _observe_all(SECONDS.labels(*labels), values)
        for labels, (total, alive) in records.items():
            RECORDS.labels(*labels).inc(total)
            ALIVE.labels(*labels).inc(alive)


def _observe_all(histogram: Histogram, seconds: list[float]) -> None:
    """`observe` for many values at once, which the library has not."""
    histogram._sum.inc(sum(seconds))  # noqa: SLF001 - see above
    buckets = Counts(bisect_left(histogram._upper_bounds, value) for value in seconds)  # noqa: SLF001
    for bucket, number in buckets.items():
        histogram._buckets[bucket].inc(number)  # noqa: SLF001


_LOOKS = 3

Read = TypeVar("Read")


def page() -> bytes:
    """All metrics of all processes, in the text format of Prometheus."""
    return _of_all(generate_latest)


def ready_workers() -> float:
    """How many workers have a model."""
    return _of_all(lambda registry: registry.get_sample_value("marvel_workers_ready")) or 0.0


def _of_all(read: Callable[[CollectorRegistry], Read]) -> Read:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    for _ in range(_LOOKS):  # files change their names while a worker is replaced
        with suppress(FileNotFoundError):
            return read(registry)
    return read(registry)
