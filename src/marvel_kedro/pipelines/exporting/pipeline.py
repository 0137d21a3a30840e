"""Pipeline `exporting`: metrics for Prometheus and an OpenTelemetry collector."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.exporting import nodes
from marvel_kedro.pipelines.monitoring import METRICS


def create_pipeline() -> Pipeline:
    """Create `exporting`, the last part of `monitoring`."""
    return Pipeline(
        [
            node(
                nodes.export_metrics,
                [*METRICS, "alerts", "params:monitoring", "params:exporting"],
                ["monitoring_metrics", "otlp_metrics"],
                name="export_metrics",
            ),
        ],
        tags="exporting",
    )
