"""From the tables of monitoring to Prometheus and OpenTelemetry."""
