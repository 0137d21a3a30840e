"""The configuration of the project, for commands that run no pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.core.packaged import conf_source as packaged_conf
from marvel_kedro.serving.configuration import ServingConfiguration

if TYPE_CHECKING:
    from kedro.io import AbstractDataset

    from marvel_kedro.project.parameters import Parameters


@dataclass(frozen=True)
class Configuration:
    """What an environment says; its parameters are checked when they are asked for.

    Attributes:
        raw: The parameters as they are in the files.
        names: The globals: names that several files share.
        loader: What reads the rest, when it is asked for.
    """

    raw: dict[str, Any]
    names: dict[str, Any]
    loader: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def parameters(self) -> "Parameters":
        """All parameters, checked.

        Raises:
            ProjectError: One is not right; it names the key.
        """
        from marvel_kedro.project import parameters  # noqa: PLC0415 - imports every pipeline: seconds

        return parameters.check(self.raw)

    @cached_property
    def description(self) -> ServingConfiguration:
        """The sections `endpoint` and `server` alone, checked.

        Raises:
            ProjectError: A parameter is not right; it names the key.
        """
        sections = {name: self.raw.get(name) for name in ServingConfiguration.model_fields}
        return validate(
            ServingConfiguration, sections, "Mend them in conf/*/serving/parameters.yml."
        )

    def dataset(self, name: str) -> "AbstractDataset[Any, Any]":
        """Make one dataset of the catalog, without a session and without credentials.

        Raises:
            ProjectError: The catalog has none of the name.
        """
        from kedro.io import AbstractDataset  # noqa: PLC0415 - for commands

        entries = self.loader["catalog"]
        if name not in entries:
            raise ProjectError(f"The catalog in conf/ has no dataset '{name}'. Bring it back.")
        entry = dict(entries[name])
        if "filepath" in entry and "://" not in entry["filepath"]:
            entry["filepath"] = str(project_path() / entry["filepath"])
        made: AbstractDataset[Any, Any] = AbstractDataset.from_config(name, entry)
        return made


def project_path() -> Path:
    """The project around the current folder; in a job, which has none, the folder itself."""
    from kedro.utils import find_kedro_project  # noqa: PLC0415 - for commands

    return find_kedro_project(Path.cwd()) or Path.cwd()


def load(env: str | None = None, conf_source: str | None = None) -> Configuration:
    """Read the configuration as a run would, and ask neither MLflow nor a session for anything.

    Args:
        env: The environment; Kedro's default if it is not given.
        conf_source: Folder or archive of the configuration; else `conf` of the project, or, where
            there is none, what came with the wheel, whose one environment for files is `base`.
    """
    from kedro.framework.project import settings  # noqa: PLC0415 - known once configured
    from kedro.utils import find_kedro_project  # noqa: PLC0415 - for commands

    if conf_source is None and find_kedro_project(Path.cwd()) is None:
        conf_source, env = str(packaged_conf()), env or "base"
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=conf_source or str(project_path() / settings.CONF_SOURCE),
        env=env,
        **settings.CONFIG_LOADER_ARGS,
    )
    return Configuration(dict(loader["parameters"]), dict(loader["globals"]), loader)
