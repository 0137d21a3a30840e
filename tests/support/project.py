"""A project to run things in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import click
import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner
from deltalake import DeltaTable
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from mlflow import MlflowClient

from marvel_kedro import cli

ROOT = Path(__file__).parents[2]
_STORES_OF_RUNS: set[str] = set()
"""Addresses that runs in this process have left in the environment."""


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    status: int
    output: str


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own."""

    path: Path

    @property
    def raw(self) -> Path:
        return self.path / "data" / "01_raw" / "marvel_characters_dataset.csv"

    def table(self, name: str) -> pd.DataFrame:
        """Read the one Parquet file below `data` that has the name."""
        (file,) = self.path.glob(f"data/*/{name}.parquet")
        return pd.read_parquet(file)

    def report(self, name: str) -> Any:
        return json.loads((self.path / "data" / "08_reporting" / f"{name}.json").read_text())

    def delta(self, name: str) -> pd.DataFrame:
        """Read a table of the warehouse, as anybody could."""
        folder = self.path / "data" / "warehouse" / "marvel_characters" / name
        return DeltaTable(folder).to_pandas()

    def champion(self, model: str = "marvel_characters") -> Any:
        """The registry's champion."""
        return self.client().get_model_version_by_alias(model, "champion")

    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.path}/mlflow.db")

    def kedro(self, *words: str, **environment: str) -> Outcome:
        """Run a kedro command in a process of its own."""
        done = subprocess.run(
            [sys.executable, "-m", "kedro", *words],
            cwd=self.path,
            env=clean_environment() | environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return Outcome(done.returncode, done.stdout + done.stderr)

    def cli(self, *words: str, command: click.Command = cli.run, **environment: str) -> Outcome:
        """Run `kedro run`, or another command, in this process, as the terminal would."""
        with self._here(), pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.path)
            for name, value in environment.items():
                patch.setenv(name, value)
            result = CliRunner().invoke(command, list(words), prog_name=f"kedro {command.name}")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.output)

    def on(self, engine: str, *words: str, **environment: str) -> Outcome:
        """Run `kedro run` on Sail in this process, on Spark in one of its own (a JVM stays)."""
        environment |= {"MARVEL_ENGINE": engine}
        if engine == "sail":
            return self.cli(*words, **environment)
        return self.kedro("run", *words, **environment)

    def run(self, *pipelines: str, **parameters: Any) -> None:
        """Run pipelines in this process; errors are raised."""
        session: Any
        with (
            self._here(),
            KedroSession.create(self.path, runtime_params=parameters) as session,
        ):
            session.run(pipeline_names=list(pipelines) or None)

    @contextmanager
    def _here(self) -> Iterator[None]:
        """Prepare this process for a run, after runs of other projects.

        kedro-mlflow leaves the address of a run's store in the environment, which the next run
        reads.
        """
        found = os.environ.get("MLFLOW_TRACKING_URI")
        if found in _STORES_OF_RUNS and str(self.path) not in found:
            reset_store()
            found = None
        bootstrap_project(self.path)
        try:
            yield
        finally:
            if found is None and (left := os.environ.get("MLFLOW_TRACKING_URI")):
                _STORES_OF_RUNS.add(left)


def reset_store() -> None:
    """Forget MLflow's tracking and registry URI, also those in the environment."""
    # Not by monkeypatch, which would restore what an earlier test has left.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    mlflow.set_registry_uri(None)  # type: ignore[arg-type] # as kedro-mlflow does
    os.environ.pop("MLFLOW_REGISTRY_URI", None)  # which that has set


def missing(what: str) -> NoReturn:
    """Skip a test that cannot run here; under CI, where it can, that is a failure."""
    if "CI" in os.environ:
        pytest.fail(what)
    pytest.skip(what)


def clean_environment() -> dict[str, str]:
    """This process's environment without what would steer Kedro or MLflow."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "KEDRO_", "MARVEL_", "SPARK_"))
    } | {
        "COLUMNS": "120",
        # A JVM that lives for one small run never gets back what it spends on optimising.
        "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1",
    }


def at_kill_points(project: Project, log: Path, *words: str) -> Iterator[dict[str, Any]]:
    """Run `support/kill_points.py` to its end; what it says, and it waits after each."""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tests/support/kill_points.py"), str(project.path), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log.open("w"),
        env=clean_environment(),
        text=True,
    )
    assert process.stdin
    assert process.stdout
    for line in process.stdout:
        if line.startswith("{"):
            said = json.loads(line)
            yield said
            assert said.get("killed", True), said
            if "last" not in said:
                process.stdin.write("\n")
                process.stdin.flush()
    assert process.wait() == 0, log.read_text()[-3000:]
