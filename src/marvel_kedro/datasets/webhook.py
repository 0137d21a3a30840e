"""An address that takes messages, as a dataset."""

from typing import Any

from kedro.io import AbstractDataset, DatasetError

from marvel_kedro.monitoring.alerting.webhook import Webhook


class WebhookDataset(AbstractDataset[None, Webhook]):
    """Loading gives the address from the credentials, so that no parameter or artefact has it."""

    def __init__(
        self, credentials: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None
    ) -> None:
        self._webhook = Webhook((credentials or {}).get("url"))
        self.metadata = metadata

    def load(self) -> Webhook:
        """Give the address, if there is one."""
        return self._webhook

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Refuse: a node posts messages, since it has to know whether they arrived.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError("A webhook is loaded, and the node posts to it.")

    def _describe(self) -> dict[str, Any]:
        return {"is_set": bool(self._webhook.url)}
