"""A workspace with two versions of the model, a client, and a clock that no test waits for."""

import databricks.sdk.clock
import databricks.sdk.service.serving as sdk
import mlflow
import pytest
from databricks.sdk import WorkspaceClient
from support.workspace.clock import Clock
from support.workspace.endpoint import MODEL
from support.workspace.host import Host

from marvel_kedro.databricks import workspace
from marvel_kedro.databricks.endpoint import smoke, update


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sdk, "time", clock)
    monkeypatch.setattr(databricks.sdk.clock, "time", clock)  # of its own retries
    monkeypatch.setattr(update, "time", clock)
    monkeypatch.setattr(smoke, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def _registry(host: Host) -> None:
    """Two versions: champion and challenger."""
    host.registry.put(MODEL, "1", "champion")
    host.registry.put(MODEL, "2", "challenger")
    mlflow.set_registry_uri("databricks-uc")


@pytest.fixture
def client(host: Host) -> WorkspaceClient:
    return workspace.connect()
