"""Kedro's configuration loader, usable in several threads of a process."""

import threading
from typing import Any, ClassVar

from kedro.config import MissingConfigException, OmegaConfigLoader
from omegaconf import OmegaConf

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table.description import REMEDY

TABLE = "table"
"""The kind of configuration, and the section, that describes the table."""


class ConfigLoader(OmegaConfigLoader):
    """A loader that resolves `globals`, `runtime_params` and `spec` by its own values.

    `spec` is a key of the table description, `table.yml` of the environment or of base; without a
    key it is the whole description. It is also the parameter `table`, for nodes.

    OmegaConf's resolvers belong to the process: those of the newest loader would serve every other
    one, also before it has read its globals. `kedro server start` makes a loader a request.
    """

    _resolving: ClassVar[Any] = threading.RLock()

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 - Kedro's
        with self._resolving:
            super().__init__(*arguments, **options)

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Load the configuration of a kind, such as `catalog`.

        Raises:
            ProjectError: The table description is missing, or runtime parameters change it.
        """
        with self._resolving:
            if key != TABLE:
                OmegaConf.register_new_resolver("spec", self._described, replace=True)
            self._register_globals_resolver()  # Kedro's own registers runtime_params again
            found: dict[str, Any] = super().__getitem__(key)
            if key == "parameters":
                if TABLE in (self.runtime_params or {}):
                    raise ProjectError(f"--params cannot change the table. {REMEDY}")
                found[TABLE] = self._described()
            return found

    def _described(self, key: str = "") -> Any:  # noqa: ANN401 - any value of YAML
        try:
            table = super().__getitem__(TABLE)[TABLE]
        except (MissingConfigException, KeyError) as error:
            raise ProjectError(
                "conf/base/table.yml is missing or has no section `table`: it describes the table "
                "that the project works on (docs/own-data.md)."
            ) from error
        return OmegaConf.select(OmegaConf.create(table), key) if key else table
