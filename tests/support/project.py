"""A copy of the project to run pipelines and commands in."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
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
    """Exit status and output of a command."""

    status: int
    output: str


@dataclass(frozen=True)
class Project:
    """A copy of the project in its own folder."""

    path: Path

    @property
    def raw(self) -> Path:
        return self.path / "data" / "01_raw" / "marvel_characters_dataset.csv"

    def table(self, name: str) -> pd.DataFrame:
        """Read the Parquet file below `data` with this name."""
        (file,) = self.path.glob(f"data/*/{name}.parquet")
        return pd.read_parquet(file)

    def report(self, name: str) -> Any:
        return json.loads((self.path / "data" / "08_reporting" / f"{name}.json").read_text())

    def delta(self, name: str) -> pd.DataFrame:
        """Read a table of the warehouse."""
        folder = self.path / "data" / "warehouse" / "marvel_characters" / name
        return DeltaTable(folder).to_pandas()

    def champion(self, model: str = "marvel_characters") -> Any:
        """Return the registry's champion."""
        return self.client().get_model_version_by_alias(model, "champion")

    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.path}/mlflow.db")

    def kedro(self, *words: str, **environment: str) -> Outcome:
        """Run a kedro command in its own process."""
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

    def cli(
        self,
        *words: str,
        command: click.Command = cli.run,
        environment: Mapping[str, str] | None = None,
    ) -> Outcome:
        """Run `kedro run`, or another command, in this process, as the terminal would."""
        with self.here(), pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.path)
            for name, value in (environment or {}).items():
                patch.setenv(name, value)
            result = CliRunner().invoke(command, list(words), prog_name=f"kedro {command.name}")
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.output)

    def on(self, engine: str, *words: str, **environment: str) -> Outcome:
        """Run `kedro run` on Sail in this process, on Spark in its own (the JVM would stay)."""
        environment |= {"MARVEL_ENGINE": engine}
        if engine == "sail":
            return self.cli(*words, environment=environment)
        return self.kedro("run", *words, **environment)

    def run(self, *pipelines: str, **parameters: Any) -> None:
        """Run pipelines in this process; errors are raised."""
        session: Any
        with (
            self.here(),
            KedroSession.create(self.path, runtime_params=parameters) as session,
        ):
            session.run(pipeline_names=list(pipelines) or None)

    @contextmanager
    def here(self) -> Iterator[None]:
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
            left = os.environ.get("MLFLOW_TRACKING_URI", "")
            if found is None and left.startswith("sqlite:"):  # others are set by tests
                _STORES_OF_RUNS.add(left)


def reset_store() -> None:
    """Forget MLflow's tracking and registry URI, also those in the environment."""
    # Not by monkeypatch, which would restore what an earlier test has left.
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(name, None)
    mlflow.set_registry_uri(None)  # type: ignore[arg-type] # as kedro-mlflow does
    os.environ.pop("MLFLOW_REGISTRY_URI", None)  # which that has set


def missing(reason: str) -> NoReturn:
    """Skip a test that cannot run on this machine; fail it under CI."""
    if "CI" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


def clean_environment() -> dict[str, str]:
    """Return the environment without variables of Kedro, MLflow, Spark and the project."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MLFLOW_", "KEDRO_", "MARVEL_", "SPARK_"))
    } | {
        "COLUMNS": "120",
        # A JVM that runs for seconds does not earn back the cost of its optimising compiler.
        "JAVA_TOOL_OPTIONS": "-XX:TieredStopAtLevel=1",
    }


def at_kill_points(project: Project, log: Path, *words: str) -> Iterator[dict[str, Any]]:
    """Run `support/kill_points.py` to its end; yield its messages, it waits after each."""
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
            message = json.loads(line)
            yield message
            assert message.get("killed", True), message
            if "last" not in message:
                process.stdin.write("\n")
                process.stdin.flush()
    assert process.wait() == 0, log.read_text()[-3000:]
