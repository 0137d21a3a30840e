"""The configuration of the project, for commands that run no pipeline."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from kedro.framework.project import settings
from kedro.io import AbstractDataset
from kedro.utils import find_kedro_project

from marvel_kedro.core import odd_paths
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.core.packaged import conf_source as packaged_conf
from marvel_kedro.model import store_location, tracking
from marvel_kedro.project import parameters
from marvel_kedro.serving.configuration import ServingConfiguration


@dataclass(frozen=True)
class Configuration:
    """The configuration of an environment; parameters are validated on access."""

    raw: dict[str, Any]  # the parameters as the files have them
    names: dict[str, Any]  # the globals: names that several files share
    loader: Mapping[str, Any] = field(repr=False)  # Kedro's, for the other files

    @cached_property
    def parameters(self) -> parameters.Parameters:
        """Validate and return all parameters; a `ProjectError` names the key that is wrong."""
        return parameters.check(self.raw)

    @cached_property
    def description(self) -> ServingConfiguration:
        """Validate and return the sections that a server needs, with paths below the project."""
        sections = {name: self.raw.get(name) for name in ServingConfiguration.model_fields}
        remedy = "Fix them in conf/*/serving/parameters.yml, the table in conf/*/table.yml."
        return validate(ServingConfiguration, sections, remedy).below(project_path())

    def dataset(self, name: str) -> AbstractDataset[Any, Any]:
        """Create a dataset of the catalog without a session; a missing one is a `ProjectError`."""
        entry = self.entry(name)
        entry.pop("validator", None)  # of Kedro's catalog, not of the dataset
        return AbstractDataset.from_config(name, entry)

    def entry(self, name: str) -> dict[str, Any]:
        """Return an entry of the catalog with the whole path of its file."""
        entries = self.loader["catalog"]
        if name not in entries:
            raise ProjectError(f"The catalog in conf/ has no dataset '{name}'. Restore the entry.")
        entry = dict(entries[name])
        odd_paths.check_entry(name, entry)
        if "filepath" in entry and "://" not in entry["filepath"]:
            entry["filepath"] = str(project_path() / entry["filepath"])
        return entry


def project_path() -> Path:
    """Return the project around the current folder; in a job, which has none, that folder."""
    return find_kedro_project(Path.cwd()) or Path.cwd()


def load(env: str | None = None, conf_source: str | None = None) -> Configuration:
    """Read the configuration as a run would, without connecting to MLflow or starting a session.

    Its source, a folder or an archive, is by default `conf` of the project or, outside of one, the
    configuration of the wheel, whose default environment is `base`.
    """
    if conf_source is None and find_kedro_project(Path.cwd()) is None:
        conf_source, env = str(packaged_conf()), env or "base"
    odd_paths.check_project(project_path())
    loader = settings.CONFIG_LOADER_CLASS(
        conf_source=conf_source or str(project_path() / settings.CONF_SOURCE),
        env=env,
        **settings.CONFIG_LOADER_ARGS,
    )
    return Configuration(dict(loader["parameters"]), dict(loader["globals"]), loader)


def use_store() -> None:
    """Point MLflow's clients at the project's store; a `ProjectError` if it does not answer."""
    import mlflow  # noqa: PLC0415 - slow to import; `kedro serve` does without

    store = tracking.find_store(project_path())
    tracking.check_reachable(store.uri)
    store_location.relocate(store.uri)
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.registry or store.uri)
