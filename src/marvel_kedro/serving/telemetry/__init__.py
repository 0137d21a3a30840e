"""Metrics and traces: Prometheus and OpenTelemetry."""
