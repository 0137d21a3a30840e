"""Where an adopted table is described, and where its raw file belongs."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kedro.framework.project import settings
from kedro.utils import find_kedro_project

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.project import configuration

_DEFAULT_ENV = "base"


@dataclass(frozen=True)
class AdoptionPaths:
    """The paths of an adoption.

    Attributes:
        project: The project.
        description: The file of the description.
        raw: The folder of the raw file.
    """

    project: Path
    description: Path
    raw: Path

    def shown(self, path: Path) -> str:
        """Return a path as people see it from the project."""
        path = path.absolute()
        return str(path.relative_to(self.project) if path.is_relative_to(self.project) else path)

    def hints(self) -> Iterator[str]:
        """Yield what else decides about the next run."""
        local = self.description.parents[1] / "local" / self.description.name
        if self.description.parent.name == _DEFAULT_ENV and local.exists():
            yield f"{self.shown(local)} replaces it in runs without --env: remove that file."
        if any((self.raw.parent / "03_primary").glob("*.parquet")):
            yield (
                f"{self.shown(self.raw.parent)} has tables of earlier runs: make clean removes "
                "those of another table."
            )


def find(env: str | None, conf_source: str | None) -> AdoptionPaths:
    """Find the paths of an environment, by default of base.

    Raises:
        ProjectError: The configuration is an archive or lacks the environment, or the raw files
            are in no local folder.
    """
    if conf_source is None and find_kedro_project(Path.cwd()) is None:
        raise ProjectError("There is no project here: go to its folder, or give --conf-source.")
    project = configuration.project_path().absolute()
    folder = Path(conf_source or project / settings.CONF_SOURCE).absolute() / (env or _DEFAULT_ENV)
    if not folder.is_dir():
        raise ProjectError(
            f"There is no folder {folder} to write table.yml to. Give --conf-source a folder with "
            "the environments, such as conf, and --env one of them."
        )
    try:
        files = str(configuration.load(env, conf_source).names["files"])
    except ProjectError:  # without a description the rest cannot be read
        files = os.environ.get("MARVEL_FILES", "data")
    if "://" in files:
        raise ProjectError(f"The files of the project are in {files}: adopt where they are local.")
    return AdoptionPaths(project, folder / "table.yml", project / files / "01_raw")
