"""The webhook that alerts are posted to: the body of the message, and the request."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import requests

from marvel_kedro.core.retry import TemporaryError, is_temporary, retry
from marvel_kedro.monitoring.alerting.lifecycle import Row
from marvel_kedro.monitoring.alerting.rules import SEVERITIES, NotificationOptions
from marvel_kedro.monitoring.names import shown

VARIABLE = "MARVEL_ALERT_WEBHOOK"
"""The environment variable with the address."""

_MAX_CHARACTERS = 2900  # of a block; Slack accepts 3000


class NotificationError(Exception):
    """A message was not delivered. The text leaves out the address."""


class _TemporaryNotificationError(NotificationError, TemporaryError):
    pass


@dataclass(frozen=True)
class Webhook:
    """The address of a webhook; it is a secret, since knowing it is enough to post there."""

    url: str | None = field(default=None, repr=False)  # None or empty: there is none

    def post(self, message: dict[str, Any], options: NotificationOptions) -> None:
        """Post a message as JSON; retry after a connection error, a timeout, status 429 or 5xx.

        Raises:
            NotificationError: The message was not accepted. Neither the error nor its context
                contains the address.
        """
        retry(
            lambda: self._post_once(message, options.seconds), options.tries, options.pause_seconds
        )

    def _post_once(self, message: dict[str, Any], seconds: float) -> None:
        # Errors of requests, and its log of retries, contain the address: neither is passed on.
        temporary = True
        try:
            with requests.post(
                str(self.url), json=message, timeout=seconds, allow_redirects=False, stream=True
            ) as answer:
                status = answer.status_code
            if status // 100 == 2:  # noqa: PLR2004 - success
                return
            failure, temporary = f"it answered with status {status}", is_temporary(status)
        except requests.Timeout:
            failure = f"no answer within {seconds:g} s"
        except requests.ConnectionError as error:
            failure = f"no connection ({type(error).__name__})"
        except (requests.RequestException, ValueError) as error:
            failure, temporary = f"not a valid address ({type(error).__name__})", False
        raise (_TemporaryNotificationError if temporary else NotificationError)(failure)


def message_body(alerts: Sequence[Row], options: NotificationOptions, table: str) -> dict[str, Any]:
    """Build the body of the request: a message about new alerts, which are sorted by severity.

    The format `slack` has `text` and `blocks`, as for an incoming webhook of Slack; `json` has
    `text` and `alerts`, rows of `tables.ALERTS` with times in ISO 8601.
    """
    counts = Counter(row["severity"] for row in alerts)
    severities = [severity for severity in reversed(SEVERITIES) if counts[severity]]
    listed = ", ".join(f"{counts[severity]} {severity}" for severity in severities)
    text = f"{table}: {new_alerts(len(alerts))} ({listed})"
    if options.format == "json":
        return {"text": text, "alerts": [_to_json(row) for row in alerts]}
    header = {"type": "header", "text": {"type": "plain_text", "text": text}}
    return {"text": text, "blocks": [header, *map(_block, alerts)]}


def _block(row: Row) -> dict[str, Any]:
    text = f"*{row['severity']}* {row['rule']} (`{row['alert_id']}`)\n{shown(row['message'], 500)}"
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):  # Slack's own markup
        text = text.replace(sign, entity)
    return {"type": "section", "text": {"type": "mrkdwn", "text": text[:_MAX_CHARACTERS]}}


def _to_json(value: Any) -> Any:  # noqa: ANN401 - a value of any column
    if isinstance(value, dict):
        return {key: _to_json(member) for key, member in value.items()}
    if isinstance(value, str):
        return shown(value, _MAX_CHARACTERS)
    return value.isoformat() if isinstance(value, datetime) else value


def new_alerts(count: int) -> str:
    """Format a number of new alerts."""
    return f"{count} new alert" + "s" * (count != 1)
