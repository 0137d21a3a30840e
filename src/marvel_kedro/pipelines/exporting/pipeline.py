"""Pipeline `exporting`: metrics for Prometheus and an OpenTelemetry collector."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.exporting import nodes


def create_pipeline() -> Pipeline:
    """Create `exporting`, the last part of `monitoring`."""
    return Pipeline(
        [
            node(
                nodes.export_metrics,
                [
                    "health_metrics",
                    "profile_metrics",
                    "drift_metrics",
                    "quality_estimates",
                    "alerts",
                    "params:monitoring",
                    "params:exporting",
                ],
                ["monitoring_metrics", "otlp_metrics"],
                name="export_metrics",
            ),
        ],
        tags="exporting",
    )
