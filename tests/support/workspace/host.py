"""A fake workspace and its parts, as the fixture `host` hands them to tests."""

from dataclasses import dataclass

from support.workspace.catalog import UnityCatalog
from support.workspace.files import Files
from support.workspace.jobs import Jobs
from support.workspace.registry import ModelRegistry
from support.workspace.server import Workspace
from support.workspace.serving import Serving

SCHEMA = "mlops_dev.marvel_characters"


@dataclass(frozen=True)
class Host:
    """A workspace and what is in it."""

    workspace: Workspace
    catalog: UnityCatalog
    files: Files
    jobs: Jobs
    registry: ModelRegistry
    serving: Serving
