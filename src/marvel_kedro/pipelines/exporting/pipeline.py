"""Wiring of `exporting`: tables of metrics become a text file and a message to a collector."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.exporting import nodes


def create_pipeline() -> Pipeline:
    """Make the pipeline `exporting`, the last part of `monitoring`."""
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
