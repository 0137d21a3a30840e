"""The whole main job with its models in Unity Catalog."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support import Project
from workspace import faults
from workspace.conftest import SCHEMA, Host

NAME = f"{SCHEMA}.marvel_characters"


@pytest.fixture
def governed(
    project: Project, host: Host, synthetic_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Project:
    """A project whose runs are tracked locally and whose models go to a workspace."""
    shutil.copy(synthetic_path, project.raw)
    (project.path / "conf" / "local" / "globals.yml").write_text(f"model_name: {NAME}\n")
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    return project


def test_the_main_job_and_a_rerun(governed: Project, host: Host) -> None:
    for _ in range(2):
        governed.run()
        (version,) = host.registry.versions[NAME].values()
        assert version["status"] == "READY"
        assert host.registry.models[NAME]["aliases"] == [{"alias": "champion", "version": "1"}]
        assert set(governed.table("predictions")["model_name"]) == {NAME}
    local = f"sqlite:///{governed.path}/mlflow.db"
    assert not MlflowClient(local, local).search_registered_models()
    run = governed.client().get_run(version["run_id"])
    assert run.info.status == "FINISHED"


def test_a_refusal_ends_the_job_in_one_message(governed: Project, host: Host) -> None:
    host.workspace.fail(faults.DENIED, "/registered-models/create")
    outcome = governed.cli()
    assert outcome.status == 1
    assert "CREATE MODEL ON SCHEMA" in outcome.output.replace("\n", " ")
    assert host.workspace.token not in outcome.output
    governed.run()
    assert host.registry.models[NAME]["aliases"]
