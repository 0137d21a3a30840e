"""Wiring of the `reporting` pipeline: the tables of monitoring to a page and plots."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.model import card_status
from marvel_kedro.monitoring.report import page, plots
from marvel_kedro.pipelines.monitoring import METRICS
from marvel_kedro.pipelines.reporting import nodes

_MONITORING, _REPORTING = "params:monitoring", "params:reporting"


def create_pipeline() -> Pipeline:
    """Create the `reporting` pipeline, the last part of `monitoring`."""
    return Pipeline(
        [
            node(
                nodes.count_rejected,
                ["rejected_requests", "health_metrics", _MONITORING, _REPORTING],
                "rejected_by_reason",
                name="count_rejected",
            ),
            node(
                nodes.build_report_data,
                [
                    *(*METRICS, "alerts", "rejected_by_reason", "retrain", "newest_ab_report"),
                    *(
                        _MONITORING,
                        "params:alerting",
                        _REPORTING,
                        "params:table",
                        "params:endpoint",
                    ),
                ],
                "report_facts",
                name="build_report_data",
            ),
            node(page.render, "report_facts", "monitoring_report", name="write_report"),
            node(plots.draw_drift, "report_facts", "drift_plot", name="draw_drift"),
            node(plots.draw_performance, "report_facts", "quality_plot", name="draw_performance"),
            node(card_status.statuses, "versions_of_cards", "model_cards", name="update_cards"),
        ],
        tags="reporting",
    )
