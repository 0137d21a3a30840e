"""`kill -9` and Ctrl-C at any point: tables and champion are those before or after the run."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from support.project import Project, at_kill_points, clean_environment

from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table.frames import digest

TABLES = ("records", "rejected_records", "train_set", "test_set")
FEW_ROWS = 800
EVERY = [(shard, 2) for shard in range(2)]  # as many shards as there are workers
SOME = (7, 14)  # the points 7 and 21
# MLflow makes the tables of a new store by some 1,700 statements.
KILLED_AT_A_STATEMENT = """
import itertools, os, signal, sys
from sqlalchemy import Engine, event
from kedro.framework.cli.cli import main

last, statements = int(sys.argv[1]), itertools.count(1)

@event.listens_for(Engine, "after_cursor_execute")
def kill(*_):
    if next(statements) == last:
        os.kill(os.getpid(), signal.SIGKILL)

sys.argv = ["kedro", "run"]
main()
"""


def make_raw(path: Path, seed: int) -> None:
    RawCSVDataset(filepath=str(path)).save(
        make_characters(SyntheticOptions(rows=FEW_ROWS, seed=seed))
    )


def start(project: Project, output: int) -> subprocess.Popen[str]:
    """Start `kedro run` in its own process."""
    return subprocess.Popen(
        [sys.executable, "-m", "kedro", "run"],
        cwd=project.path,
        env=clean_environment(),
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
    )


def digests(project: Project) -> dict[str, str]:
    return {name: digest(project.table(name)) for name in TABLES}


def check_champion(client: MlflowClient, project: Project) -> str:
    """Check that the champion loads and scores; return its version."""
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/mlflow.db")
    champion = mlflow.pyfunc.load_model("models:/marvel_characters@champion")
    scored = champion.predict(project.table("records").head(3))
    assert scored["probability"].between(0, 1).all()
    model = client.get_registered_model("marvel_characters")
    assert len(client.search_model_versions("name='marvel_characters'")) <= 2
    return str(model.aliases["champion"])


@pytest.mark.fault
@pytest.mark.parametrize(
    ("shard", "shards"), [SOME, *(pytest.param(*one, marks=pytest.mark.slow) for one in EVERY)]
)
def test_run_killed_at_any_point_leaves_all_as_before_or_after(
    project: Project, tmp_path: Path, shard: int, shards: int
) -> None:
    make_raw(project.raw, seed=1)
    make_raw(project.raw.with_name("next.csv"), seed=2)
    client = project.client()
    points: list[str] = []
    before: dict[str, str] = {}
    seen: dict[str, set[str]] = {name: set() for name in TABLES}
    champions = []
    for message in at_kill_points(project, tmp_path / "log", str(shard), str(shards)):
        if "undisturbed" in message:
            before = digests(project)
            project.raw.with_name("next.csv").replace(project.raw)
        elif "points" in message:
            points = message["points"]
            assert message["of"] >= 30
            assert digests(project) == before
        elif "point" in message:
            for name, value in digests(project).items():
                seen[name].add(value)
            champions.append(check_champion(client, project))
        else:
            assert message == {"last": 0}, (tmp_path / "log").read_text()[-3000:]
    assert len(points) >= 28 // shards  # of those that change the disk
    after = digests(project)
    assert before != after
    for name in TABLES:
        assert seen[name] <= {before[name], after[name]}, name
    assert champions == sorted(champions)
    assert champions[0] == "1"
    assert check_champion(client, project) == "2"
    assert set(project.table("predictions")["model_version"]) == {"2"}
    assert not list(project.path.rglob("*.partial"))
    experiment = client.get_experiment_by_name("marvel_characters")
    assert experiment
    statuses = [run.info.status for run in client.search_runs([experiment.experiment_id])]
    assert statuses.count("FINISHED") == 2
    assert statuses.count("KILLED") == len(points)
    assert len(statuses) == len(points) + 2


@pytest.mark.fault
@pytest.mark.parametrize(
    "statement",
    [pytest.param(1, marks=pytest.mark.slow), 600, pytest.param(1600, marks=pytest.mark.slow)],
)
def test_kill_while_the_store_is_made_leaves_no_half_made_store(
    project: Project, synthetic_path: Path, statement: int
) -> None:
    """MLflow cannot continue with tables that a kill left incomplete."""
    shutil.copy(synthetic_path, project.raw)
    (project.path / "mlflow.db").unlink()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AT_A_STATEMENT, str(statement)],
        cwd=project.path,
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr
    assert list(project.path.glob(".mlflow.db.*.partial"))
    assert not (project.path / "mlflow.db").exists()
    outcome = project.cli("--to-nodes", "read_source")
    assert outcome.status == 0, outcome.output
    assert not list(project.path.glob(".mlflow.db.*"))


@pytest.mark.fault
@pytest.mark.parametrize(
    "node",
    [
        pytest.param("read_source", marks=pytest.mark.slow),
        "fit_model",
        pytest.param("write_model_card", marks=pytest.mark.slow),
    ],
)
def test_interrupt_ends_with_130_and_a_killed_mlflow_run(
    project: Project, synthetic_path: Path, node: str
) -> None:
    shutil.copy(synthetic_path, project.raw)
    process = start(project, subprocess.PIPE)
    assert process.stdout
    output = ""
    for line in process.stdout:
        output += line
        if node in line:
            os.kill(process.pid, signal.SIGINT)
            break
    output += process.stdout.read()
    assert process.wait() == 130, output
    assert output.rstrip().endswith("nothing is half-written.")
    assert "Traceback" not in output
    client = project.client()
    experiment = client.get_experiment_by_name("marvel_characters")
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
    registered = client.search_registered_models()
    assert bool(registered) == (node == "write_model_card")
    project.run()
    assert str(project.champion().version) == "1"
    assert set(project.table("predictions")["model_version"]) == {"1"}


def test_digest_ignores_the_order_of_rows(synthetic_path: Path) -> None:
    table = pd.read_csv(synthetic_path, dtype="str", nrows=50)
    assert digest(table) == digest(table.sample(frac=1, random_state=0))
    assert digest(table) != digest(table.head(49))
