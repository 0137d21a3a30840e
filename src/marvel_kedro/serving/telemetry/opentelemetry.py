"""Traces and metrics by OpenTelemetry, where its standard environment variables ask for them.

OTEL_EXPORTER_OTLP_ENDPOINT (or the one of traces or metrics alone) turns it on; OTEL_SERVICE_NAME,
OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and what else
docs/serving.md lists are read by the SDK itself. The protocol is http/protobuf.
"""

import os
import re
import socket
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

_SIGNALS = ("traces", "metrics")
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_NOWHERE = b"0" * 32
_CLOSE_SECONDS = 3.0


class Answered(NamedTuple):
    """An answered request, in OpenTelemetry's terms."""

    path: str
    status: int
    started: float
    seconds: float
    served_entity: str
    model_version: str
    records: int
    request_id: str


class Telemetry:
    """Tells OpenTelemetry of requests; without a tracer and a meter it only names traces."""

    def __init__(self, tracers: Any = None, meters: Any = None) -> None:  # noqa: ANN401
        """Args are the providers of OpenTelemetry's SDK, or None."""
        self._tracers, self._meters = tracers, meters
        self._tracer = tracers.get_tracer(__name__) if tracers else None
        self._seconds = (
            meters.get_meter(__name__).create_histogram(
                "http.server.request.duration", unit="s", description="Duration of requests"
            )
            if meters
            else None
        )

    @classmethod
    def from_environment(
        cls, endpoint: str, environment: Mapping[str, str] = os.environ
    ) -> "Telemetry":
        """Set up what the environment asks for; the SDK is not even imported for nothing."""
        wanted = {signal: is_wanted(signal, environment) for signal in _SIGNALS}
        if not any(wanted.values()):
            return cls()
        resource = _resource(endpoint)
        return cls(
            _tracers(resource) if wanted["traces"] else None,
            _meters(resource) if wanted["metrics"] else None,
        )

    def record(self, answered: Answered, traceparent: bytes | None) -> str:
        """Tell of a request.

        Args:
            answered: The request.
            traceparent: The header of W3C Trace Context, if the client sent one.

        Returns:
            The trace that the request belongs to, 32 hexadecimal digits.
        """
        trace = trace_of(traceparent, answered.request_id)
        if self._tracer is None and self._seconds is None:
            return trace
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
            trace = self._trace(answered, traceparent, attributes)
        return trace

    def _trace(
        self, answered: Answered, traceparent: bytes | None, attributes: dict[str, Any]
    ) -> str:
        from opentelemetry import trace as api  # noqa: PLC0415 - see from_environment
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        assert self._tracer is not None
        carrier = {"traceparent": traceparent.decode("latin-1")} if traceparent else {}
        span = self._tracer.start_span(
            f"POST {answered.path}",
            context=TraceContextTextMapPropagator().extract(carrier),
            kind=api.SpanKind.SERVER,
            start_time=int(answered.started * 1e9),
            attributes=attributes
            | {"marvel.request_id": answered.request_id, "marvel.records": answered.records},
        )
        if answered.status >= 500:  # noqa: PLR2004 - the server's own faults
            span.set_status(api.StatusCode.ERROR)
        span.end(int((answered.started + answered.seconds) * 1e9))
        return api.format_trace_id(span.get_span_context().trace_id)

    def close(self) -> None:
        """Send what waits, unless the collector is away: nobody waits for it while stopping."""
        providers = [provider for provider in (self._tracers, self._meters) if provider]
        threads = [threading.Thread(target=one.shutdown, daemon=True) for one in providers]
        for thread in threads:
            thread.start()
        end = time.monotonic() + _CLOSE_SECONDS
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))


def trace_of(traceparent: bytes | None, request_id: str) -> str:
    """The trace that a request belongs to: the one that its client names, else its own."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    return found[1].decode() if found and found[1] != _NOWHERE else request_id


def is_wanted(signal: str, environment: Mapping[str, str]) -> bool:
    """Whether the environment asks for `traces` or `metrics`."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get(f"OTEL_{signal.upper()}_EXPORTER", "otlp") != "otlp":
        return False
    return any(
        environment.get(name)
        for name in (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT",
        )
    )


def _resource(endpoint: str) -> Any:  # noqa: ANN401 - OpenTelemetry's own
    """Who tells: what the environment says of it wins over what is known here."""
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415

    # Pids are the same in every container.
    instance = f"{socket.gethostname()}-{os.getpid()}"
    own = Resource(
        {"service.name": endpoint, "service.instance.id": instance, "process.pid": os.getpid()}
    )
    return Resource.create().merge(own).merge(OTELResourceDetector().detect())


def _tracers(resource: Any) -> Any:  # noqa: ANN401 - OpenTelemetry's own
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # `close` does
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _meters(resource: Any) -> Any:  # noqa: ANN401 - OpenTelemetry's own
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import (  # noqa: PLC0415
        OTLPMetricExporter,
    )
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader  # noqa: PLC0415

    reader = PeriodicExportingMetricReader(OTLPMetricExporter())
    return MeterProvider(resource=resource, metric_readers=[reader], shutdown_on_exit=False)
