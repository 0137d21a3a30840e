"""The whole main job with its models in Unity Catalog."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient
from support.project import Project
from support.workspace import faults
from support.workspace.host import SCHEMA, Host
from support.workspace.tracking import Tracking

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


def test_main_job_fails_without_privileges_and_succeeds_with_them(
    governed: Project, host: Host
) -> None:
    host.workspace.fail(faults.DENIED, "/registered-models/create")
    outcome = governed.cli()
    assert outcome.status == 1
    assert "CREATE MODEL ON SCHEMA" in outcome.output.replace("\n", " ")
    assert host.workspace.token not in outcome.output
    governed.run()
    governed.run("training")
    (version,) = host.registry.versions[NAME].values()
    assert version["status"] == "READY"
    assert host.registry.models[NAME]["aliases"] == [{"alias": "champion", "version": "1"}]
    assert set(governed.table("predictions")["model_name"]) == {NAME}
    local = f"sqlite:///{governed.path}/mlflow.db"
    assert not MlflowClient(local, local).search_registered_models()
    assert governed.client().get_run(version["run_id"]).info.status == "FINISHED"


def test_main_job_tracks_and_registers_in_a_workspace(
    governed: Project, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.move(governed.path / "mlflow.db", governed.path / "workspace.db")
    host.workspace.add(Tracking(f"sqlite:///{governed.path}/workspace.db"))
    monkeypatch.delenv("MLFLOW_REGISTRY_URI")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")
    mine = governed.path / "conf" / "local" / "mlflow.yml"
    mine.write_text(
        "tracking: {experiment: {name: /Shared/marvel_characters}, run: {nested: false}}\n"
    )
    governed.run()
    assert host.registry.models[NAME]["aliases"] == [{"alias": "champion", "version": "1"}]
    (version,) = host.registry.versions[NAME].values()
    run = MlflowClient("databricks").get_run(version["run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics
    assert run.inputs
    assert run.inputs.dataset_inputs
    assert run.outputs
    assert run.outputs.model_outputs[0].model_id == version["model_id"]
    root = f"WorkspaceInternal/Mlflow/Artifacts/{run.info.experiment_id}"
    folders = {path.partition("/artifacts/")[0] for path in host.files.contents}
    assert folders >= {
        f"{root}/Runs/{run.info.run_id}",
        f"{root}/LoggedModels/{version['model_id']}",
        f"Models/{NAME.replace('.', '/')}/1",
    }
    assert not (governed.path / "mlflow.db").exists()
    assert not (governed.path / "mlartifacts").exists()
