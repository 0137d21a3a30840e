"""The configuration of the project, for commands that run no pipeline."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from marvel_kedro import parameters
from marvel_kedro.packaged import conf_source as packaged_conf


@dataclass(frozen=True)
class Configuration:
    """What an environment says.

    Attributes:
        parameters: The parameters, checked.
        names: The globals: names that several files share.
    """

    parameters: parameters.Parameters
    names: dict[str, Any]


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

    Raises:
        ProjectError: A parameter is not right; it names the key.
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
    return Configuration(parameters.check(loader["parameters"]), dict(loader["globals"]))
