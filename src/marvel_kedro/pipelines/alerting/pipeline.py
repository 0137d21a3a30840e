"""Wiring of the `alerting` pipeline: metrics to alerts, messages and the decision to retrain."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.monitoring.alerting import retraining_policy
from marvel_kedro.pipelines.alerting import nodes
from marvel_kedro.pipelines.monitoring import METRICS


def create_pipeline() -> Pipeline:
    """Create the `alerting` pipeline."""
    return Pipeline(
        [
            node(
                nodes.evaluate_alerts,
                [
                    *(*METRICS, "known_alerts", "alert_actions", "version_aliases"),
                    *("params:endpoint", "params:alerting", "params:table"),
                ],
                "evaluated_alerts",
                name="evaluate_alerts",
            ),
            node(
                nodes.notify,
                ["evaluated_alerts", "alert_webhook", "params:alerting", "params:table"],
                "alerts",
                name="notify",
            ),
            node(
                nodes.count_labelled,
                ["inference_log", "retraining_log", "params:alerting", "params:table"],
                "label_counts",
                name="count_labelled",
            ),
            node(
                retraining_policy.decide,
                ["alerts", "label_counts", "retraining_log", "champion_version", "params:alerting"],
                "retrain",
                name="decide_retraining",
            ),
        ],
        tags="alerting",
    )
