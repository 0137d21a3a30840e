"""Hold the metrics against the rules, tell people, and decide about a new training."""

from typing import Any

import narwhals as nw
import pyarrow as pa
from narwhals.typing import IntoFrame

from marvel_kedro.monitoring.alerting import evaluation, notification, retraining_policy
from marvel_kedro.monitoring.alerting.notification import Webhook
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.local_engine import on_engine


def evaluate_alerts(  # noqa: PLR0913, PLR0917 - one a table
    profile_metrics: pa.Table,
    drift_metrics: pa.Table,
    quality_estimates: pa.Table,
    health_metrics: pa.Table,
    known_alerts: pa.Table,
    alert_actions: pa.Table,
    options: AlertingOptions,
) -> pa.Table:
    """See which rules fire, and apply what people have done about it."""
    evaluated = evaluation.evaluate(
        {
            "profile_metrics": profile_metrics,
            "drift_metrics": drift_metrics,
            "quality_estimates": quality_estimates,
            "health_metrics": health_metrics,
        },
        options,
        known_alerts,
        options.now,
    )
    return evaluation.act(evaluated, alert_actions, options.now)


def notify(
    evaluated_alerts: pa.Table, alert_webhook: Webhook, options: AlertingOptions
) -> pa.Table:
    """Tell people of new alerts, and note that they were told."""
    return notification.tell(evaluated_alerts, alert_webhook, options.notification, options.now)


def count_labelled(
    inference_log: IntoFrame, retraining_log: pa.Table, options: AlertingOptions
) -> retraining_policy.LabelCounts:
    """Count the characters whose label is known, and has become so since the last training.

    Records of a time to come do not count, since no training takes them.
    """
    rows = lazily(on_engine(inference_log)).filter(
        ~nw.col("page_id").is_null(),
        ~nw.col("alive").is_null(),
        nw.col("request_time") <= options.now,
    )
    in_all, last = _pages(rows), retraining_policy.last_training(retraining_log)
    since = in_all if last is None else _pages(rows.filter(nw.col("labelled_at") > last))
    return retraining_policy.count_labels(in_all, since, retraining_log)


def _pages(rows: nw.LazyFrame[Any]) -> int:
    return int(rows.select("page_id").unique().select(nw.len()).lazy().collect().item())


def decide_retraining(
    alerts: pa.Table,
    label_counts: retraining_policy.LabelCounts,
    retraining_log: pa.Table,
    champion_version: str | None,
    options: AlertingOptions,
) -> dict[str, Any]:
    """Decide whether a new model is to be trained."""
    return retraining_policy.decide(alerts, label_counts, retraining_log, champion_version, options)
