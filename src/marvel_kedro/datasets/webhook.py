"""The webhook of the alerts."""

from typing import Any

from marvel_kedro.datasets.base import Metadata, ReadOnlyDataset
from marvel_kedro.monitoring.alerting.webhook import Webhook


class WebhookDataset(ReadOnlyDataset[Webhook]):
    """Load the address from the credentials, which keeps it out of parameters and artefacts."""

    READ_ONLY = "the node posts the messages, because it has to know whether they arrived"

    def __init__(
        self, credentials: dict[str, Any] | None = None, metadata: Metadata = None
    ) -> None:
        super().__init__(metadata)
        self._webhook = Webhook((credentials or {}).get("url"))

    def load(self) -> Webhook:
        """Return the address, if one is set."""
        return self._webhook

    def _describe(self) -> dict[str, Any]:
        return {"is_set": bool(self._webhook.url)}
