"""The bundle's jobs, run here from the installed wheel in a clean environment, on Sail."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from deltalake import DeltaTable
from mlflow import MlflowClient
from support.bundle.bundle import GIT, job_id, load
from support.bundle.runner import JOB_ID, JOB_RUN_ID, TaskRun, run_job
from support.inference_traffic import make_traffic
from support.project import Project, clean_environment
from support.workspace.catalog import UnityCatalog
from support.workspace.identity import Identity
from support.workspace.server import Workspace as Host
from support.workspace.serving import Serving

SCHEMA = "sail.dev_jane_doe_marvel_kedro"
MODEL = f"{SCHEMA}.marvel_characters"
ENDPOINT = "dev_jane_doe_marvel_kedro_dev"


@dataclass(frozen=True)
class Workspace:
    """A platform: a volume, tables, an MLflow server, served endpoints."""

    home: Path
    scripts: Path
    address: str
    host: Host
    serving: Serving

    @property
    def volume(self) -> Path:
        return self.home / "Volumes" / "files"

    def run(self, key: str, job_run_id: str = JOB_RUN_ID, **changed: str) -> dict[str, TaskRun]:
        """Run a job of the bundle with its own commands; only where things are is from here."""
        jobs: dict[str, Any] = load("dev")["resources"]["jobs"]
        for task in (task for job in jobs.values() for task in job["tasks"]):
            if "python_wheel_task" in task:
                named = task["python_wheel_task"]["named_parameters"]
                assert named["tracking-uri"] == "databricks"
                assert named["registry-uri"] == "databricks-uc"
                named |= {"tracking-uri": self.address, "registry-uri": self.address}
        environment = clean_environment() | {
            "MARVEL_WAREHOUSE": str(self.home / "warehouse"),
            "OMP_NUM_THREADS": "1",
            "DATABRICKS_HOST": self.host.url,
            "DATABRICKS_TOKEN": self.host.token,
            "DATABRICKS_CONFIG_FILE": str(self.home / "none.cfg"),
        }
        environment.pop("PYTHONPATH", None)
        places = {"catalog": "sail", "files": str(self.volume)}
        return run_job(
            jobs[key],
            self.scripts,
            environment,
            places | changed,
            job_run_id=job_run_id,
            jobs={job_id(name): job for name, job in jobs.items()},
        )

    @property
    def schema(self) -> Path:
        return self.home / "warehouse" / "dev_jane_doe_marvel_kedro"

    def table(self, name: str) -> pd.DataFrame:
        return DeltaTable(self.schema / name).to_pandas()


@pytest.fixture(scope="module")
def workspace(
    wheel_scripts: Path,
    mlflow_server: str,
    synthetic_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Workspace]:
    catalog = UnityCatalog(SCHEMA)
    serving = Serving(catalog)
    home = tmp_path_factory.mktemp("workspace")
    with Host(Identity(), catalog, serving) as host:
        made = Workspace(home, wheel_scripts, mlflow_server, host, serving)
        (made.volume / "01_raw").mkdir(parents=True)
        shutil.copy(synthetic_path, made.volume / "01_raw" / "marvel_characters_dataset.csv")
        yield made


def states(tasks: dict[str, TaskRun]) -> dict[str, str]:
    return {key: task.state for key, task in tasks.items()}


@pytest.mark.slow
def test_jobs_of_the_bundle_train_monitor_score_and_fail_as_configured(
    workspace: Workspace,
) -> None:
    """Training both ways through its condition, then monitoring, scoring and a task that fails."""
    first = workspace.run("marvel_training")
    output = "\n".join(task.output for task in first.values())
    assert set(states(first).values()) == {"SUCCESS"}, output
    task_values = first["training"].values  # noqa: PD011 - no frame
    assert task_values == {"promoted": "true", "model_version": "1"}
    assert first["promoted"].outcome == "true"
    assert len(workspace.table("predictions")) == len(workspace.table("records"))
    # A log for people: times, no colours, nothing of this project's tools that a job has not.
    assert "INFO" in first["training"].output
    assert "\x1b" not in output
    assert "make viz" not in output

    assert workspace.serving.served(ENDPOINT) == {"champion": "1"}
    assert workspace.serving.traffic(ENDPOINT) == {"champion": 100}
    table = workspace.serving.endpoints[ENDPOINT]["ai_gateway"]["inference_table_config"]
    assert f"{table['catalog_name']}.{table['schema_name']}" == SCHEMA
    assert "INFO" in first["deploy"].output
    assert workspace.host.token not in output

    client = MlflowClient(workspace.address)
    version = client.get_model_version_by_alias(MODEL, "champion")
    run: Any = client.get_run(str(version.run_id))
    assert client.get_experiment(run.info.experiment_id).name.endswith("marvel_kedro_dev")
    for tags in (version.tags, run.data.tags):
        assert tags["git_sha"] == GIT["commit"]
        assert tags["git_branch"] == GIT["branch"]
        assert (tags["job_id"], tags["job_run_id"]) == (JOB_ID, JOB_RUN_ID)
        assert tags["task_run_id"].isdecimal()
    mlflow.set_tracking_uri(workspace.address)
    model = mlflow.pyfunc.load_model(f"models:/{MODEL}@champion")
    assert set(model.predict(pd.DataFrame({"name": ["X"]}))) == {"prediction", "probability"}

    again = workspace.run("marvel_training", job_run_id="another")
    assert states(again)["training"] == "SUCCESS", again["training"].output
    task_values = again["training"].values  # noqa: PD011 - no frame
    assert task_values == {"promoted": "false", "model_version": "1"}
    assert again["promoted"].outcome == "false"
    assert again["serving"].state == again["deploy"].state == "EXCLUDED"

    # A repair of the run that promoted: its tasks run again, and later ones must not be left out.
    repaired = workspace.run("marvel_training")
    task_values = repaired["training"].values  # noqa: PD011 - no frame
    assert task_values == {"promoted": "true", "model_version": "1"}
    assert repaired["serving"].state == "SUCCESS"
    assert repaired["deploy"].state == "SUCCESS"
    assert f"The endpoint '{ENDPOINT}' is as configured." in repaired["deploy"].output
    assert len(workspace.host.seen("(POST|PUT|PATCH) /api/2.0/serving-endpoints")) == 1

    monitoring_trains_anew(workspace)

    scored = workspace.run("marvel_scoring")
    assert set(states(scored).values()) == {"SUCCESS"}, scored

    (workspace.home / "empty").mkdir()
    lost = workspace.run("marvel_training", files=str(workspace.home / "empty"))
    assert lost["processing"].status == 1
    assert "There is no raw file at" in lost["processing"].output
    assert "Traceback" not in lost["processing"].output
    assert states(lost)["training"] == states(lost)["serving"] == "UPSTREAM_FAILED"


def test_job_task_runs_a_pipeline_and_ends_in_one_message_without_a_raw_file(
    project: Project, synthetic_path: Path, tmp_path: Path
) -> None:
    volume, warehouse = tmp_path / "files", tmp_path / "warehouse"
    named = {"pipeline": "processing", "catalog": "sail", "schema": "mine", "files": str(volume)}
    named |= {"tracking-uri": f"sqlite:///{project.path}/mlflow.db"}
    words = [f"--{name}={value}" for name, value in named.items()]
    entry_point = "from marvel_kedro.cli.job import main; main()"
    lists = 'monitoring.granularities=["1 day","1 hour"]'
    words += ["--params", lists, "--params", "processing.missing_markers=[Female, 'a,b=c']"]
    task = [sys.executable, "-c", entry_point, *words]

    def run() -> subprocess.CompletedProcess[str]:
        environment = clean_environment() | {"MARVEL_WAREHOUSE": str(warehouse)}
        return subprocess.run(
            task, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    without = run()
    assert without.returncode == 1
    assert "There is no raw file at" in without.stdout + without.stderr
    assert "Traceback" not in without.stdout + without.stderr
    (volume / "01_raw").mkdir(parents=True)
    shutil.copy(synthetic_path, volume / "01_raw" / "marvel_characters_dataset.csv")
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    quality = json.loads((volume / "08_reporting" / "data_quality.json").read_text())
    assert quality["nulls"]["gender"] > 500
    log = done.stdout.partition("\u256d")[0].splitlines()  # above the summary
    assert any(" INFO " in line for line in log)
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ", line) for line in log), log
    assert len(DeltaTable(warehouse / "mine" / "records").to_pandas()) > 2000


def monitoring_trains_anew(workspace: Workspace) -> None:
    # Answers that were no better than chance, on other characters: another model is trained.
    make_traffic(days=3, requests_a_day=200).write_tables(workspace.schema)
    watched = workspace.run("marvel_monitoring")
    assert set(states(watched).values()) == {"SUCCESS"}, watched["refresh"].output
    assert watched["retrain"].outcome == "true", watched["refresh"].output
    assert len(workspace.table("inference_log")) > 1000
    (row,) = workspace.table("retraining_log").to_dict(orient="records")
    assert row["outcome"] != "started"
    assert list(row["reasons"])
    task_values = watched["training"].tasks["training"].values  # noqa: PD011 - no frame
    assert task_values["promoted"] == str(row["outcome"] == "promoted").lower()
