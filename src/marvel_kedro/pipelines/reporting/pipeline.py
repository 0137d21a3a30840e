"""Wiring of `reporting`: the tables of monitoring become a page and plots."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.reporting import nodes

_MEASURED, _SHOWN = "params:monitoring", "params:reporting"


def create_pipeline() -> Pipeline:
    """Make the pipeline `reporting`, the last part of `monitoring`."""
    return Pipeline(
        [
            node(
                nodes.count_rejected,
                ["rejected_requests", "health_metrics", _MEASURED, _SHOWN],
                "rejected_by_reason",
                name="count_rejected",
            ),
            node(
                nodes.gather_facts,
                [
                    "health_metrics",
                    "profile_metrics",
                    "drift_metrics",
                    "quality_estimates",
                    "alerts",
                    "retrain",
                    "rejected_by_reason",
                    "newest_ab_report",
                    _MEASURED,
                    "params:alerting",
                    _SHOWN,
                ],
                "report_facts",
                name="gather_facts",
            ),
            node(nodes.write_report, "report_facts", "monitoring_report", name="write_report"),
            node(nodes.draw_drift, "report_facts", "drift_plot", name="draw_drift"),
            node(nodes.draw_quality, "report_facts", "quality_plot", name="draw_quality"),
        ],
        tags="reporting",
    )
