"""Notification: messages about new alerts, posted to a webhook."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting.lifecycle import OPEN, Row
from marvel_kedro.monitoring.alerting.rules import SEVERITIES, NotificationOptions
from marvel_kedro.monitoring.alerting.webhook import VARIABLE, NotificationError, Webhook

logger = logging.getLogger(__name__)

MAX_ALERTS = 40
"""Alerts in one message; Slack accepts 50 blocks."""
_MAX_CHARACTERS = 2900  # of a block; Slack accepts 3000


def notify(
    alerts: pa.Table, webhook: Webhook, options: NotificationOptions, now: datetime
) -> pa.Table:
    """Post the open alerts that have not been notified yet.

    A message that cannot be delivered is a warning in the log and does not fail the run: the next
    run posts its alerts. If the process dies between posting and saving, they are posted twice.

    Args:
        alerts: `tables.ALERTS`.
        webhook: The address.
        options: Format, lowest severity, timeout and retries.
        now: The time for `notified_at`.

    Returns:
        The alerts, with `notified_at` where a message was delivered.
    """
    rows = alerts.to_pylist()
    due = [
        row
        for row in rows
        if row["state"] == OPEN
        and row["notified_at"] is None
        and SEVERITIES.index(row["severity"]) >= SEVERITIES.index(options.min_severity)
    ]
    if due and not webhook.url:
        logger.info("%s not sent: %s is not set", _new_alerts(len(due)), VARIABLE)
        return alerts
    due.sort(key=lambda row: -SEVERITIES.index(row["severity"]))
    for first in range(0, len(due), MAX_ALERTS):
        batch = due[first : first + MAX_ALERTS]
        try:
            webhook.post(message(batch, options), options)
        except NotificationError as error:
            logger.warning(
                "%s not sent to the webhook (%s): %s. The next run tries again.",
                _new_alerts(len(due) - first),
                VARIABLE,
                error,
            )
            break
        for row in batch:
            row["notified_at"] = now
    return pa.Table.from_pylist(rows, tables.ALERTS)


def message(alerts: Sequence[Row], options: NotificationOptions) -> dict[str, Any]:
    """Build the body of the webhook request.

    Args:
        alerts: Rows of `tables.ALERTS`, highest severity first.
        options: The format. `slack` has `text` and `blocks`, as for an incoming webhook of Slack;
            `json` has `text` and `alerts`, rows of the table with times in ISO 8601.
    """
    counts = Counter(row["severity"] for row in alerts)
    severities = [severity for severity in reversed(SEVERITIES) if counts[severity]]
    listed = ", ".join(f"{counts[severity]} {severity}" for severity in severities)
    text = f"marvel_kedro: {_new_alerts(len(alerts))} ({listed})"
    if options.format == "json":
        return {"text": text, "alerts": [_to_json(row) for row in alerts]}
    header = {"type": "header", "text": {"type": "plain_text", "text": text}}
    return {"text": text, "blocks": [header, *map(_block, alerts)]}


def _block(row: Row) -> dict[str, Any]:
    text = f"*{row['severity']}* {row['rule']} (`{row['alert_id']}`)\n{row['message']}"
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # Slack's own markup
        text = text.replace(sign, entity)
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_MAX_CHARACTERS]}}


def _to_json(value: Any) -> Any:  # noqa: ANN401 - a value of any column
    if isinstance(value, dict):
        return {key: _to_json(member) for key, member in value.items()}
    return value.isoformat() if isinstance(value, datetime) else value


def _new_alerts(count: int) -> str:
    return f"{count} new alert" + "s" * (count != 1)
