"""Nodes of the `alerting` pipeline."""

import pyarrow as pa
from narwhals.typing import IntoFrame

from marvel_kedro.monitoring.alerting import evaluation, lifecycle, notification, retraining_policy
from marvel_kedro.monitoring.alerting.retraining_policy import LabelCounts
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.monitoring.alerting.webhook import Webhook
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.table.description import TableSpec


def evaluate_alerts(  # noqa: PLR0913, PLR0917 - one a table
    health_metrics: pa.Table,
    profile_metrics: pa.Table,
    drift_metrics: pa.Table,
    quality_estimates: pa.Table,
    known_alerts: pa.Table,
    alert_actions: pa.Table,
    version_aliases: dict[str, set[str]],
    endpoint: EndpointOptions,
    options: AlertingOptions,
    table: TableSpec,
) -> pa.Table:
    """Evaluate the rules, and apply acknowledgements and silences."""
    alerts = evaluation.evaluate(
        {
            "profile_metrics": profile_metrics,
            "drift_metrics": drift_metrics,
            "quality_estimates": quality_estimates,
            "health_metrics": health_metrics,
        },
        options,
        known_alerts,
        options.now,
        endpoint.retired_versions(version_aliases),
        table.target.column,
    )
    return lifecycle.apply_actions(alerts, alert_actions, options.now)


def notify(
    evaluated_alerts: pa.Table, alert_webhook: Webhook, options: AlertingOptions, table: TableSpec
) -> pa.Table:
    """Post new alerts to the webhook, and record the time."""
    return notification.notify(
        evaluated_alerts, alert_webhook, options.notification, options.now, table.name
    )


def count_labelled(
    inference_log: IntoFrame,
    retraining_log: pa.Table,
    options: AlertingOptions,
    table: TableSpec,
) -> LabelCounts:
    """Count the keys with a label, and those labelled since the last retraining."""
    return retraining_policy.count_labelled(inference_log, retraining_log, options.now, table)
