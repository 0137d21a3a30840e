"""Prometheus metrics of all processes of a server.

Each process counts in its own files in the folder PROMETHEUS_MULTIPROC_DIR, and the process that is
scraped adds all files up. Counts of a worker that died are kept.
"""

from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

Read = TypeVar("Read")

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_READ_ATTEMPTS = 4
_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
)  # fmt: skip

_MODEL = ("served_entity", "model_version")

REQUESTS = Counter("marvel_requests", "Answered requests", [*_MODEL, "code"])
SECONDS = Histogram(
    "marvel_request_duration_seconds",
    "From the first byte of a request to its answer",
    _MODEL,
    buckets=_SECONDS,
)
RECORDS = Counter("marvel_records", "Scored records", _MODEL)
POSITIVE = Counter("marvel_predicted_positive", "Records predicted as the positive class", _MODEL)
IN_PROGRESS = Gauge(
    "marvel_requests_in_progress",
    "Requests in progress, batches that still run after their 504 included",
    multiprocess_mode="livesum",
)
PAGES = Counter(
    "marvel_page_requests", "Requests for other paths than invocations", ["path", "code"]
)
GONE = Counter("marvel_clients_gone", "Requests whose client disconnected before their end")
DROPPED = Counter(
    "marvel_inference_log_dropped",
    "Requests that were not written to the inference table",
    ["reason"],
)
for _reason in ("disk_full", "spool_full", "segment_lost", "io"):
    DROPPED.labels(_reason)  # starts at 0: alerts on an increase would miss the first loss
LOG_LINES_DROPPED = Counter(
    "marvel_log_lines_dropped", "Lines of the logs that were not read in time"
)
LOGGED = Counter("marvel_inference_log_rows", "Requests in the inference table")
LAG = Gauge(
    "marvel_inference_log_lag_seconds",
    "Age of the oldest request that is not yet in the inference table",
    multiprocess_mode="mostrecent",
)
LOG_FAILING = Gauge(
    "marvel_inference_log_failing",
    "1 if the last write to the inference table failed",
    multiprocess_mode="mostrecent",
)
SERVED = Gauge(
    "marvel_served_version",
    "1 for each version that a worker serves",
    ["served_entity", "model", "model_version"],
    multiprocess_mode="livemax",
)
TRAFFIC = Gauge(
    "marvel_traffic_percent",
    "Share of the traffic among the served entities that have a model",
    ["served_entity"],
    multiprocess_mode="mostrecent",
)
DEPLOYMENT_FAULTS = Gauge(
    "marvel_deployment_faults",
    "Served entities that differ from the configuration, and errors of the registry",
    multiprocess_mode="livemax",
)
REGISTRY_ANSWERED = Gauge(
    "marvel_registry_last_answer_timestamp_seconds",
    "When the registry last answered, in seconds since 1970; 0 before that",
    multiprocess_mode="max",
)
LOAD_FAILURES = Counter(
    "marvel_model_load_failures", "Failed loads of a version", ["served_entity"]
)
READY = Gauge("marvel_workers_ready", "Workers with a model", multiprocess_mode="livesum")
WORKERS = Gauge("marvel_workers", "Worker processes", multiprocess_mode="mostrecent")
RESTARTS = Counter("marvel_worker_restarts", "Worker processes that died and were replaced")


class Tally:
    """Counts of one worker that are not published yet.

    One count of `prometheus_client` in a shared file takes a fifth of the time of a request. So
    requests are counted here and published several times a second.
    """

    def __init__(self, positive: str) -> None:
        self._positive = positive
        self._requests: list[tuple[str, str, int, float]] = []
        self._records: dict[tuple[str, str], list[int]] = {}

    def request(self, entity: str, version: str, code: int, seconds: float) -> None:
        """Count an answered request; `entity` and `version` are empty if no model scored it."""
        self._requests.append((entity, version, code, seconds))

    def records(self, entity: str, version: str, scored: list[tuple[str, float]]) -> None:
        """Count the records of a request by prediction."""
        counts = self._records.setdefault((entity, version), [0, 0])
        counts[0] += len(scored)
        for prediction, _ in scored:
            counts[1] += prediction == self._positive

    def publish(self) -> None:
        """Add the counts to the metrics."""
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
        for labels, (total, positive) in records.items():
            RECORDS.labels(*labels).inc(total)
            POSITIVE.labels(*labels).inc(positive)


def _observe_all(histogram: Histogram, seconds: list[float]) -> None:
    """Observe many values at once, which `prometheus_client` does not offer."""
    histogram._sum.inc(sum(seconds))  # noqa: SLF001 - see above
    buckets = Counts(bisect_left(histogram._upper_bounds, value) for value in seconds)  # noqa: SLF001
    for bucket, number in buckets.items():
        histogram._buckets[bucket].inc(number)  # noqa: SLF001


def page() -> bytes:
    """Return all metrics of all processes in Prometheus' text format."""
    return _of_all_processes(generate_latest)


def ready_workers() -> float:
    """Return the number of workers with a model."""
    return _of_all_processes(lambda all_: all_.get_sample_value("marvel_workers_ready")) or 0.0


def _of_all_processes(read: Callable[[CollectorRegistry], Read]) -> Read:
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    for _ in range(_READ_ATTEMPTS - 1):  # files are renamed while a worker is replaced
        with suppress(FileNotFoundError):
            return read(registry)
    return read(registry)
