"""The webhook that alerts are posted to."""

from dataclasses import dataclass, field
from typing import Any

import requests

from marvel_kedro.core.retry import TemporaryError, is_temporary, retry
from marvel_kedro.monitoring.alerting.rules import NotificationOptions

VARIABLE = "MARVEL_ALERT_WEBHOOK"
"""The environment variable with the address."""


class NotificationError(Exception):
    """A message was not delivered. The text leaves out the address."""


class _TemporaryNotificationError(NotificationError, TemporaryError):
    pass


@dataclass(frozen=True)
class Webhook:
    """The address of a webhook; it is a secret, since knowing it is enough to post there.

    Attributes:
        url: The address; None or empty if there is none.
    """

    url: str | None = field(default=None, repr=False)

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
