"""Notification: post new alerts to a webhook, and record when."""

import logging
from datetime import datetime

import pyarrow as pa

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting.lifecycle import OPEN
from marvel_kedro.monitoring.alerting.rules import SEVERITIES, NotificationOptions
from marvel_kedro.monitoring.alerting.webhook import (
    VARIABLE,
    NotificationError,
    Webhook,
    message_body,
    new_alerts,
)

logger = logging.getLogger(__name__)

MAX_ALERTS = 40
"""Alerts in one message; Slack accepts 50 blocks."""


def notify(
    alerts: pa.Table, webhook: Webhook, options: NotificationOptions, now: datetime, table: str
) -> pa.Table:
    """Post the open alerts of `tables.ALERTS` that have not been notified yet.

    The message names the `table`. One that cannot be delivered is a warning in the log and does not
    fail the run: the next run posts its alerts. If the process dies between posting and saving,
    they are posted twice.

    Returns:
        The alerts, with `now` as `notified_at` where a message was delivered.
    """
    rows = alerts.to_pylist()
    severities = SEVERITIES[SEVERITIES.index(options.min_severity) :]
    new = [row for row in rows if row["state"] == OPEN and row["notified_at"] is None]
    due = [row for row in new if row["severity"] in severities]
    if due and not webhook.url:
        logger.info("%s not sent: %s is not set", new_alerts(len(due)), VARIABLE)
        return alerts
    due.sort(key=lambda row: -SEVERITIES.index(row["severity"]))
    for first in range(0, len(due), MAX_ALERTS):
        batch = due[first : first + MAX_ALERTS]
        try:
            webhook.post(message_body(batch, options, table), options)
        except NotificationError as error:
            text = "%s not sent to the webhook (%s): %s. The next run tries again."
            logger.warning(text, new_alerts(len(due) - first), VARIABLE, error)
            break
        for row in batch:
            row["notified_at"] = now
    return pa.Table.from_pylist(rows, tables.ALERTS)
