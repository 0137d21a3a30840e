"""OpenTelemetry's standard variables, and the log lines with the same traces."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from support.otlp_collector import attributes, collecting
from support.project import ROOT, clean_environment
from support.running_server import RECORD, Server, Store, describe, running

from marvel_kedro.serving.telemetry import opentelemetry
from marvel_kedro.serving.telemetry.opentelemetry import AnsweredRequest, Telemetry

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
ANSWERED = AnsweredRequest("/invocations", 200, 0.0, 0.1, "champion", "1", 1, "f" * 32)


def lines(server: Server) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in server.stdout.splitlines()]
    return [line for line in found if line.get("path") == "/invocations"]


def test_spans_and_metrics_are_exported_with_the_traces_of_the_log(
    registered: Store, tmp_path: Path
) -> None:
    with (
        collecting() as collector,
        running(
            registered.fetch(describe(tmp_path)),
            registered.uri,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_HEADERS="x-key=abc",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test,service.name=heroes",
        ) as server,
    ):
        untraced = server.invoke([RECORD, RECORD], headers={}).headers["x-request-id"]
        body = json.dumps({"inputs": [RECORD]})
        headers = {"Content-Type": "application/json", "traceparent": TRACEPARENT}
        known = server.ask("/invocations", "POST", data=body, headers=headers)
        unsampled = server.ask(
            "/invocations", "POST", data=body,
            headers=headers | {"traceparent": f"00-{'1' * 32}-{PARENT}-00"},
        )  # fmt: skip
        rejected = server.ask("/invocations", "POST", data=b"{", headers=headers)
        server.ask("/invocations", "POST", data=body, headers=headers | {"traceparent": "rubbish"})
        assert server.stop() == 0
        by_request = {attributes(span)["marvel.request_id"]: span for _, span in collector.spans}
        resources = [resource for resource, _ in collector.spans + collector.metrics]
        logged = {line["request_id"]: line for line in lines(server)}
    assert len(logged) == 5
    assert len(by_request) == 4  # all but the one that its client does not sample
    assert unsampled.headers["x-request-id"] not in by_request
    assert logged[unsampled.headers["x-request-id"]]["trace_id"] == "1" * 32
    for request, span in by_request.items():
        assert logged[request]["trace_id"] == span.trace_id.hex()
        assert span.kind == span.SPAN_KIND_SERVER
        assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 10e9
    span = by_request[known.headers["x-request-id"]]
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    first = by_request[untraced]
    assert first.parent_span_id == b""
    assert first.name == "POST /invocations"
    assert attributes(first) == {
        "http.request.method": "POST",
        "http.route": "/invocations",
        "http.response.status_code": 200,
        "marvel.served_entity": "champion",
        "marvel.model_version": "1",
        "marvel.request_id": untraced,
        "marvel.records": 2,
    }
    assert (
        attributes(by_request[rejected.headers["x-request-id"]])["http.response.status_code"] == 400
    )
    for resource in resources:
        assert resource["service.name"] == "heroes"
        assert resource["deployment.environment"] == "test"
    assert {headers["x-key"] for headers in collector.headers} == {"abc"}
    (metric,) = {m.name: m for _, m in collector.metrics}.values()
    assert (metric.name, metric.unit) == ("http.server.request.duration", "s")
    points = metric.histogram.data_points
    assert sum(point.count for point in points) == 5
    assert all(0 < point.sum < 10 for point in points)


@pytest.mark.parametrize(
    ("variables", "traces", "metrics"),
    [
        ({}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_SDK_DISABLED": "true"}, False, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL", "OTEL_METRICS_EXPORTER": "none"}, True, False),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "URL/v1/metrics"}, False, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "URL"}, True, True),
    ],
)
def test_environment_enables_each_signal_and_imports_nothing_else(
    variables: dict[str, str], *, traces: bool, metrics: bool
) -> None:
    """In a separate process, to see what is imported."""
    code = """
import sys
from marvel_kedro.serving.telemetry import opentelemetry as telemetry
from marvel_kedro.serving.telemetry.opentelemetry import AnsweredRequest, Telemetry
telemetry = Telemetry.from_environment("marvel")
answered = AnsweredRequest("/invocations", 200, 1.0, 0.1, "champion", "1", 1, "f" * 32)
print(telemetry.record(answered, sys.argv[1].encode()))
telemetry.close()
print("opentelemetry.sdk" in sys.modules, "opentelemetry" in sys.modules)
"""
    with collecting() as collector:
        environment = {
            name: value.replace("URL", collector.url) for name, value in variables.items()
        }
        done = subprocess.run(
            [sys.executable, "-c", code, TRACEPARENT],
            env=clean_environment() | {"PYTHONPATH": str(ROOT / "src")} | environment,
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    trace, imported = done.stdout.splitlines()
    assert trace == TRACE
    assert (imported == "False False") == (not traces and not metrics)
    assert [bool(collector.spans), bool(collector.metrics)] == [traces, metrics]
    for resource, _ in collector.spans + collector.metrics:
        assert resource["service.name"] == "marvel"


@pytest.mark.parametrize(
    ("variables", "name", "instance"),
    [
        ({}, "marvel", None),
        ({"OTEL_SERVICE_NAME": "heroes"}, "heroes", None),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=heroes"}, "heroes", None),
        (
            {"OTEL_RESOURCE_ATTRIBUTES": "service.name=heroes,service.instance.id=pod-7"},
            "heroes",
            "pod-7",
        ),
    ],
)
def test_attributes_of_the_environment_have_priority(
    variables: dict[str, str], name: str, instance: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    found = dict(opentelemetry._resource("marvel").attributes)
    assert found["service.name"] == name
    assert found["service.instance.id"] == (instance or f"{socket.gethostname()}-{os.getpid()}")
    assert found["process.pid"] == os.getpid()
    assert found["telemetry.sdk.language"] == "python"


@pytest.mark.parametrize(
    ("traceparent", "trace"),
    [
        (TRACEPARENT, TRACE),
        ("", "f" * 32),
        (None, "f" * 32),
        ("rubbish", "f" * 32),
        (TRACEPARENT.upper(), "f" * 32),
        (f"00-{'0' * 32}-{PARENT}-01", "f" * 32),
        (TRACEPARENT[:-1], "f" * 32),
    ],
)
def test_trace_is_the_clients_or_the_requests_own(traceparent: str | None, trace: str) -> None:
    sent = None if traceparent is None else traceparent.encode()
    assert Telemetry().record(ANSWERED, sent) == trace


def test_unreachable_collector_delays_neither_requests_nor_the_stop(
    registered: Store, tmp_path: Path
) -> None:
    with running(
        describe(tmp_path), registered.uri, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"
    ) as server:
        assert server.invoke().status_code == 200
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 8
