"""Kedro's configuration loader, usable in several threads of a process."""

import threading
from typing import Any, ClassVar

from kedro.config import OmegaConfigLoader


class ConfigLoader(OmegaConfigLoader):
    """A loader that resolves `globals` and `runtime_params` by its own values.

    OmegaConf's resolvers belong to the process: those of the newest loader would serve every other
    one, also before it has read its globals. `kedro server start` makes a loader a request.
    """

    _resolving: ClassVar[Any] = threading.RLock()

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Kedro's
        with self._resolving:
            super().__init__(*arguments, **options)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Load the configuration of a kind, such as `catalog`."""
        with self._resolving:
            self._register_globals_resolver()  # Kedro's own registers runtime_params again
            found: dict[str, Any] = super().__getitem__(key)
            return found
