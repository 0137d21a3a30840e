"""A fake workspace, and the environment that points clients at it."""

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from support.workspace.catalog import UnityCatalog
from support.workspace.files import Files
from support.workspace.host import SCHEMA, Host
from support.workspace.identity import Identity
from support.workspace.jobs import Jobs
from support.workspace.registry import ModelRegistry
from support.workspace.server import Workspace
from support.workspace.serving import Serving


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    """A workspace with one schema; clients of this process find it by themselves."""
    catalog, files, jobs = UnityCatalog(SCHEMA), Files(), Jobs()
    registry = ModelRegistry(catalog, files)
    serving = Serving(catalog, registry.has)
    with Workspace(Identity(), catalog, files, jobs, registry, serving) as workspace:
        monkeypatch.setenv("DATABRICKS_HOST", workspace.url)
        monkeypatch.setenv("DATABRICKS_TOKEN", workspace.token)
        monkeypatch.setenv("DATABRICKS_CONFIG_FILE", str(tmp_path / "none.cfg"))
        monkeypatch.setenv("MLFLOW_DATABRICKS_ENDPOINT_HTTP_RETRY_TIMEOUT", "3")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        yield Host(workspace, catalog, files, jobs, registry, serving)
        mlflow.set_tracking_uri(None)  # type: ignore[arg-type] # it has ended
