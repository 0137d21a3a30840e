"""Alerts told to people: messages, and the address that they are posted to."""

import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus
from typing import Any

import pyarrow as pa
import requests

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import evaluation as alerting
from marvel_kedro.monitoring.alerting.rules import SEVERITIES, NotificationOptions

logger = logging.getLogger(__name__)

MOST = 40
"""Alerts in a message; Slack takes 50 blocks."""
_LONGEST = 2900  # characters of a block; Slack takes 3000
_VARIABLE = "MARVEL_ALERT_WEBHOOK"


class NotToldError(Exception):
    """Why a message did not arrive, in words without the address."""


@dataclass(frozen=True)
class Webhook:
    """An address that takes messages; who knows it may write there, so it is a secret.

    Attributes:
        url: The address; None or empty: there is none.
    """

    url: str | None = field(default=None, repr=False)

    def post(self, message: dict[str, Any], options: NotificationOptions) -> None:
        """Post a message as JSON; what may pass by is tried again.

        Raises:
            NotToldError: It was not taken. Neither the error nor what led to it has the address.
        """
        for number in range(options.tries):
            if number:
                time.sleep(options.pause_seconds * 2 ** (number - 1))
            fault, again = self._try(message, options.seconds)
            if fault is None:
                return
            if not again:
                break
        raise NotToldError(fault)

    def _try(self, message: dict[str, Any], seconds: float) -> tuple[str | None, bool]:
        """What went wrong, if anything, and whether it may go well the next time.

        Libraries name the whole address in their errors and, where they try again themselves, in
        their log: neither is handed on.
        """
        try:
            with requests.post(
                str(self.url), json=message, timeout=seconds, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
        except requests.Timeout:
            return f"no answer within {seconds:g} s", True
        except requests.ConnectionError as error:
            return f"no connection ({type(error).__name__})", True
        except (requests.RequestException, ValueError) as error:
            return f"it is no address to post to ({type(error).__name__})", False
        if status // 100 == 2:  # noqa: PLR2004 - success
            return None, False
        again = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return f"it answered with status {status}", again


def tell(
    alerts: pa.Table, webhook: Webhook, options: NotificationOptions, now: datetime
) -> pa.Table:
    """Tell people of open alerts that they were not told of.

    A message that does not arrive is a warning in the log and no fault of the run: its alerts are
    told with the next one. One that was told and could not be noted, since the process died in
    between, is told twice.

    Args:
        alerts: `tables.ALERTS`.
        webhook: Where.
        options: In which form, from which severity on, and how patiently.
        now: What is noted in `notified_at`.

    Returns:
        The alerts, with `notified_at` where people were told.
    """
    rows = alerts.to_pylist()
    least = SEVERITIES.index(options.min_severity)
    due = [
        row
        for row in rows
        if row["state"] == alerting.OPEN
        and row["notified_at"] is None
        and SEVERITIES.index(row["severity"]) >= least
    ]
    if due and not webhook.url:
        logger.info("%s to tell, and no address: set %s", _number(len(due)), _VARIABLE)
        return alerts
    due.sort(key=lambda row: -SEVERITIES.index(row["severity"]))
    for first in range(0, len(due), MOST):
        told = due[first : first + MOST]
        try:
            webhook.post(message(told, options), options)
        except NotToldError as fault:
            logger.warning(
                "%s could not be told: the webhook (%s): %s. The next run tries again.",
                _number(len(due) - first),
                _VARIABLE,
                fault,
            )
            break
        for row in told:
            row["notified_at"] = now
    return pa.Table.from_pylist(rows, tables.ALERTS)


def message(alerts: Sequence[alerting.Row], options: NotificationOptions) -> dict[str, Any]:
    """Put alerts into a message.

    Args:
        alerts: Rows of `tables.ALERTS`, the worst ones first.
        options: The form: `slack` has `text` and `blocks`, as an incoming webhook of Slack takes
            them; `json` has `text` and `alerts`, each a row of the table, times in ISO 8601.
    """
    counts = Counter(row["severity"] for row in alerts)
    severities = [severity for severity in reversed(SEVERITIES) if counts[severity]]
    text = f"marvel_kedro: {_number(len(alerts))} (" + (
        ", ".join(f"{counts[severity]} {severity}" for severity in severities) + ")"
    )
    if options.format == "json":
        return {"text": text, "alerts": [_plain(row) for row in alerts]}
    heading = {"type": "header", "text": {"type": "plain_text", "text": text}}
    return {"text": text, "blocks": [heading, *map(_block, alerts)]}


def _block(row: alerting.Row) -> dict[str, Any]:
    said = f"*{row['severity']}* {row['rule']} (`{row['alert_id']}`)\n{row['message']}"
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # Slack's own markup
        said = said.replace(sign, entity)
    return {"type": "section", "text": {"type": "mrkdwn", "text": said[:_LONGEST]}}


def _plain(value: Any) -> Any:  # noqa: ANN401 - a cell
    if isinstance(value, dict):
        return {key: _plain(member) for key, member in value.items()}
    return value.isoformat() if isinstance(value, datetime) else value


def _number(alerts: int) -> str:
    return f"{alerts} new alert" + "s" * (alerts != 1)
