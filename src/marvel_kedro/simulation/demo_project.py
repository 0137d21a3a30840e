"""The demo's own project: its configuration, its pipelines, and the tables and models they make."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import yaml
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

from marvel_kedro.core import odd_paths
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import aliases, tracking
from marvel_kedro.serving import traffic_shift
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.simulation.world import World
from marvel_kedro.table.description import TableSpec

SYNTHETIC_ROWS = 6000

_OPEN_GATE = {"min_constant_gain": -1, "min_regression_gain": -1, "max_ece_share": 1}
"""Few test rows may not prove that a model is of use: the demo serves it all the same."""


@dataclass(frozen=True)
class Settings:
    """Settings of the project that the demo needs."""

    endpoint: EndpointOptions
    world_seed: int  # the seed of the synthetic rows
    table: TableSpec
    raw_table: dict[str, Any]  # its entry in the catalog, with the whole path


@dataclass(frozen=True)
class Readers:
    """Read the project in the current folder."""

    settings: Callable[[], Settings]
    world: Callable[[], World]


def create_project(project: Path, folder: Path, port: int, settings: Settings) -> None:
    """Copy a project into the demo's folder, with the demo's settings in `conf/local`.

    The raw file of a table is read where it is, unless the project generates it.

    Raises:
        ProjectError: The folder has other files, or there is no raw file.
    """
    table, raw_file = settings.table, settings.raw_table["filepath"]
    if table.world is None and "://" not in raw_file and not Path(raw_file).exists():
        raise ProjectError(
            f"The demo trains on the file of the table {table.name}, and {raw_file} is not there."
        )
    odd_paths.check_project(folder.absolute())
    if folder.exists() and not (folder / ".demo").exists() and any(folder.iterdir()):
        raise ProjectError(f"{folder} is not empty, and no demo: name another folder, --folder.")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    (folder / ".demo").touch()
    for name in ("conf", "src"):
        ignored = shutil.ignore_patterns("__pycache__", "local")
        shutil.copytree(project / name, folder / name, ignore=ignored)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(project / name, folder / name)
    server = {"port": port, "accept_simulated_time": True, "poll_seconds": 1, "flush_seconds": 1}
    parameters = {
        "synthetic": {"rows": SYNTHETIC_ROWS},
        "server": server,
        "training": {"gate": _OPEN_GATE},
        "retraining": {"release": "challenger", "days": 2},
        # At 5 % a false alarm in fifteen windows is likely; and the endpoint stops at the end.
        "alerting": {"alpha": 0.001, "rules": {"no_traffic": None}},
    }
    local = folder / "conf" / "local"
    local.mkdir()
    if (project / "conf" / "local" / "table.yml").exists():
        shutil.copy(project / "conf" / "local" / "table.yml", local)
    if table.world is None:
        entry = yaml.safe_dump({"raw_table": settings.raw_table})
        (local / "catalog.yml").write_text(entry, "utf-8")
    (local / "parameters.yml").write_text(yaml.safe_dump(parameters), "utf-8")


class DemoProject:
    """Runs the pipelines of the project in a folder in this process, and reads their results."""

    def __init__(self, folder: Path, read: Readers) -> None:
        self._folder = folder.resolve()
        self._reporting = self._folder / "data/08_reporting"
        self._alert_states: dict[str, str] = {}
        self.labels = self._folder / "data/03_primary/labels.parquet"
        self.report_page = folder / "data/08_reporting/monitoring_report.html"
        bootstrap_project(self._folder)
        self._read = read
        with chdir(self._folder):
            self.settings = read.settings()
        self._store = tracking.find_store(self._folder).uri

    def run(self, *pipelines: str, **parameters: Mapping[str, Any]) -> None:
        """Run pipelines; their output goes to `demo.log`."""
        session: Any
        with (
            chdir(self._folder),
            (self._folder / "demo.log").open("a", encoding="utf-8") as log,
            redirect_stdout(log),
            redirect_stderr(log),
            KedroSession.create(self._folder, runtime_params=parameters) as session,
        ):
            session.run(pipeline_names=list(pipelines) or None)

    def train(self) -> World:
        """Train the first champion, and return the world that its records come from.

        Raises:
            ProjectError: The gate rejects the model.
        """
        if self.settings.table.world is not None:
            self.run("synthetic")
        self.run()
        with chdir(self._folder):
            return self._read.world()

    def report(self, name: str) -> Any:  # noqa: ANN401 - what JSON holds
        """Read a JSON report."""
        return json.loads((self._reporting / f"{name}.json").read_text("utf-8"))

    def alert_events(self) -> list[str]:
        """Describe the alerts that have opened or closed since the last call."""
        alerts = pd.read_parquet(self._reporting / "alerts.parquet")
        known, self._alert_states = (
            self._alert_states,
            dict(zip(alerts["alert_id"], alerts["state"], strict=True)),
        )
        events = []
        for row in alerts.to_dict("records"):
            before = known.get(row["alert_id"])
            if row["state"] == "open" and before != "open":
                version = row["model_version"]
                events.append(f"alert {row['rule']}" + (f", version {version}" if version else ""))
            elif row["state"] == "resolved" and before == "open":
                events.append(f"alert {row['rule']} is resolved: {row['resolution']}")
        return sorted(set(events))

    def final_lines(self) -> list[str]:
        """Describe the state at the end: the A/B test, the champion and the open alerts."""
        champion, states = self.version("champion"), Counter(self._alert_states.values())
        lines = [f"Champion: version {champion}. Open alerts: {states['open']}."]
        if (self._reporting / "ab_report.json").exists():
            lines.insert(0, f"A/B test: {self.report('ab_report')['verdict']}")
        return lines

    def performance_by_day(self) -> pd.DataFrame:
        """Return the daily ROC AUC by `date` and `model_version`: `realised`, and `estimate`."""
        rows = pd.read_parquet(self._reporting / "quality_estimates.parquet")
        of_table = rows["slice_key"].isna() & (rows["granularity"] == "1 day")
        rows = rows[of_table & (rows["metric"] == "roc_auc")].sort_values("model_version")
        dates = [window["start"].date() for window in rows["window"]]
        return rows.assign(date=dates)[["date", "model_version", "realised", "estimate"]]

    def version(self, alias: str) -> str | None:
        """Return the model version that has an alias."""
        with self._registry():
            found = aliases.find_version(self.settings.endpoint.model, alias=alias)
        return str(found.version) if found else None

    def shift_traffic(self, percent: int) -> None:
        """Give the challenger a share of the traffic."""
        shares = {"champion": 100 - percent, "challenger": percent}
        with self._registry():
            traffic_shift.shift(self.settings.endpoint, shares)

    def promote(self, version: str, decision: str, at: datetime) -> None:
        """Make a version the champion, with all of the traffic."""
        model = self.settings.endpoint.model
        with self._registry():
            aliases.move_alias(model, "champion", version, decision=decision, at=at)

    @contextmanager
    def _registry(self) -> Iterator[None]:
        mlflow.set_tracking_uri(self._store)
        with chdir(self._folder):
            yield
