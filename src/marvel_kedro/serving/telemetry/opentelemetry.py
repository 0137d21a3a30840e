"""Traces and metrics by OpenTelemetry, enabled by its standard environment variables.

OTEL_EXPORTER_OTLP_ENDPOINT, or the variable of traces or metrics alone, enables it. The SDK itself
reads OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS
and the others that docs/serving.md lists. The protocol is http/protobuf.
"""

import os
import re
import socket
import time
from threading import Thread
from typing import Any, NamedTuple

_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_INVALID_TRACE = b"0" * 32
_CLOSE_SECONDS = 3.0


class AnsweredRequest(NamedTuple):
    """An answered request, in OpenTelemetry's terms; times in seconds."""

    path: str
    status: int
    started: float
    seconds: float
    served_entity: str
    model_version: str
    records: int
    request_id: str


class Telemetry:
    """Spans and durations by the SDK's providers; without them, only the ids of traces."""

    def __init__(self, tracers: Any = None, meters: Any = None) -> None:  # noqa: ANN401
        self._providers = [provider for provider in (tracers, meters) if provider]
        self._tracer = tracers.get_tracer(__name__) if tracers else None
        self._seconds: Any = None
        if meters:
            self._seconds = meters.get_meter(__name__).create_histogram(
                "http.server.request.duration", unit="s", description="Duration of requests"
            )

    @classmethod
    def from_environment(cls, endpoint: str) -> "Telemetry":
        """Create the enabled providers; if none is, the SDK is not even imported."""
        traces, metrics = is_enabled("traces"), is_enabled("metrics")
        if not traces and not metrics:
            return cls()
        resource = _resource(endpoint)
        tracers = _tracer_provider(resource) if traces else None
        return cls(tracers, _meter_provider(resource) if metrics else None)

    def record(self, answered: AnsweredRequest, traceparent: bytes | None) -> str:
        """Record a request with its W3C `traceparent`; return its trace id, 32 hex digits."""
        if not self._providers:
            return trace_id(traceparent, answered.request_id)
        attributes = {
            "http.request.method": "POST",
            "http.route": answered.path,
            "http.response.status_code": answered.status,
            "marvel.served_entity": answered.served_entity,
            "marvel.model_version": answered.model_version,
        }
        if self._seconds is not None:
            self._seconds.record(answered.seconds, attributes)
        if self._tracer is not None:
            return self._trace(answered, traceparent, attributes)
        return trace_id(traceparent, answered.request_id)

    def _trace(
        self, answered: AnsweredRequest, traceparent: bytes | None, attributes: dict[str, Any]
    ) -> str:
        from opentelemetry import trace as api  # noqa: PLC0415 - see from_environment
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

        assert self._tracer is not None
        carrier = {"traceparent": traceparent.decode("latin-1")} if traceparent else {}
        span = self._tracer.start_span(
            f"POST {answered.path}",
            context=tracecontext.TraceContextTextMapPropagator().extract(carrier),
            kind=api.SpanKind.SERVER,
            start_time=int(answered.started * 1e9),
            attributes=attributes
            | {"marvel.request_id": answered.request_id, "marvel.records": answered.records},
        )
        if answered.status >= 500:  # noqa: PLR2004 - errors of the server
            span.set_status(api.StatusCode.ERROR)
        span.end(int((answered.started + answered.seconds) * 1e9))
        return api.format_trace_id(span.get_span_context().trace_id)

    def close(self) -> None:
        """Export what is buffered; an unreachable collector delays the stop by 3 s at most."""
        threads = [Thread(target=provider.shutdown, daemon=True) for provider in self._providers]
        for thread in threads:
            thread.start()
        end = time.monotonic() + _CLOSE_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))


def trace_id(traceparent: bytes | None, request_id: str) -> str:
    """Return the id of the client's trace, or the request's own id without a valid header."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return found[1].decode() if found and found[1] != _INVALID_TRACE else request_id


def is_enabled(signal: str) -> bool:
    """Return whether the environment enables the export of `traces` or `metrics`."""
    name = signal.upper()
    is_disabled = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if is_disabled or os.environ.get(f"OTEL_{name}_EXPORTER", "otlp") != "otlp":
        return False
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT")
    return any(map(os.environ.get, endpoints))


def _resource(endpoint: str) -> Any:  # noqa: ANN401 - OpenTelemetry's own
    """Describe this process; attributes of the environment have priority."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

    # Containers have the same pids.
    instance = f"{socket.gethostname()}-{os.getpid()}"
    own = Resource(
        {"service.name": endpoint, "service.instance.id": instance, "process.pid": os.getpid()}
    )
    return Resource.create().merge(own).merge(OTELResourceDetector().detect())


def _tracer_provider(resource: Any) -> Any:  # noqa: ANN401 - OpenTelemetry's own
    from opentelemetry.exporter.otlp.proto.http import trace_exporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider, export  # noqa: PLC0415

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # `close` does
    provider.add_span_processor(export.BatchSpanProcessor(trace_exporter.OTLPSpanExporter()))
    return provider


def _meter_provider(resource: Any) -> Any:  # noqa: ANN401 - OpenTelemetry's own
    from opentelemetry.exporter.otlp.proto.http import metric_exporter  # noqa: PLC0415
    from opentelemetry.sdk.metrics import MeterProvider, export  # noqa: PLC0415

    reader = export.PeriodicExportingMetricReader(metric_exporter.OTLPMetricExporter())
    return MeterProvider(resource=resource, metric_readers=[reader], shutdown_on_exit=False)
