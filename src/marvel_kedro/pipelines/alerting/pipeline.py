"""Wiring of the `alerting` pipeline: metrics to alerts, messages and the decision to retrain."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.alerting import nodes


def create_pipeline() -> Pipeline:
    """Create the `alerting` pipeline."""
    return Pipeline(
        [
            node(
                nodes.evaluate_alerts,
                [
                    "profile_metrics",
                    "drift_metrics",
                    "quality_estimates",
                    "health_metrics",
                    "known_alerts",
                    "alert_actions",
                    "params:alerting",
                ],
                "evaluated_alerts",
                name="evaluate_alerts",
            ),
            node(
                nodes.notify,
                ["evaluated_alerts", "alert_webhook", "params:alerting"],
                "alerts",
                name="notify",
            ),
            node(
                nodes.count_labelled,
                ["inference_log", "retraining_log", "params:alerting"],
                "label_counts",
                name="count_labelled",
            ),
            node(
                nodes.decide_retraining,
                ["alerts", "label_counts", "retraining_log", "champion_version", "params:alerting"],
                "retrain",
                name="decide_retraining",
            ),
        ],
        tags="alerting",
    )
