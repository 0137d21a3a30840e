"""Run `kedro demo`: ten simulated days, from calm to drift, a retraining and its A/B test.

The server, its tables, the pipelines and the registry are the real ones, in a project folder of
their own. Only the clock is simulated.
"""

import os
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from marvel_kedro.core.rounding import rounded
from marvel_kedro.monitoring.ab_test.comparison import CHALLENGER, describe, newest_comparison
from marvel_kedro.simulation import traffic_plan
from marvel_kedro.simulation.demo_project import DemoProject, Readers, create_project
from marvel_kedro.simulation.demo_server import DemoServer, free_port, wait_until
from marvel_kedro.simulation.traffic_plan import Day, TrafficOptions
from marvel_kedro.simulation.traffic_replay import Sender, Tally, replay_day
from marvel_kedro.simulation.world import World

DAYS, DRIFT_FROM = 10, 4
LABEL_DELAY_DAYS = 1
START = date(2026, 1, 5)
REQUESTS, RECORDS = 600, 8
DRIFT = {"scenario": "concept", "magnitude": 0.9}
CHALLENGER_PERCENT = 50
RATE, CONNECTIONS = 2000.0, 8

_PROJECT_VARIABLES = ("MLFLOW_", "MARVEL_", "KEDRO_", "SPARK_", "DATABRICKS_", "OTEL_")
_KEPT_VARIABLES = ("TELEMETRY", "RETRIES", "TIMEOUT", "LOGGING_CONFIG")


def run(project: Path, folder: Path, console: Console, read: Readers) -> Path:
    """Simulate the days; print a line per day, and the timeline at the end.

    Args:
        project: The project whose code and configuration are copied.
        folder: Folder of the demo's own project; an earlier demo in it is replaced.
        console: Receives the output.
        read: Reads the settings of either project, and the world that requests are drawn from.

    Returns:
        The path of the report.

    Raises:
        ProjectError: The server does not start, or a step fails.
    """
    settings = read.settings()
    with _without_project_variables():
        began = time.monotonic()
        port = free_port()
        create_project(project, folder, port, settings)
        console.print(
            f"The demo runs in its own project, [bold]{folder}[/bold]; your data and models "
            "stay as they are."
        )
        table = settings.table
        rows = f"synthetic {table.row.many}" if table.world else f"{table.row.many} in {table.file}"
        console.print(f"Training a champion for the table {table.name} on {rows} ..")
        if table.world is None:
            console.print(
                f"Requests are {table.row.many} of its test rows, drawn again and again: a version "
                "that is retrained on them knows them, and its figures are too good."
            )
        demo = _Demo(DemoProject(folder, read), DemoServer(folder, port), console)
        demo.run()
        console.print()
        console.print(demo.timeline.table(demo.project.performance_by_day()))
        for line in demo.project.final_lines():
            console.print(line, highlight=False)
        console.print(f"\n{time.monotonic() - began:.0f} seconds. Next:")
        _print_next_steps(folder, demo.project.report_page, console)
        return demo.project.report_page


@dataclass
class _Timeline:
    """Events and numbers of requests by served entity, by day counted from 1."""

    events: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    requests: dict[int, Counter[str]] = field(default_factory=dict)

    def line(self, day: int) -> str:
        """Format a day for the terminal."""
        return f"day {day:2}  {_date(day)}  {self._traffic(day)}  {'; '.join(self._events(day))}"

    def table(self, performance: pd.DataFrame) -> Table:
        """Format all days, with the results of `DemoProject.performance_by_day`."""
        table = Table(title="Ten days", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
        for name in ("day", "traffic", "ROC AUC", "estimated", "events"):
            table.add_column(name, no_wrap=name not in ("traffic", "events"), overflow="fold")
        for day in self.requests:
            rows = performance[performance["date"] == _date(day)]
            figures = (_figures(rows, column) for column in ("realised", "estimate"))
            table.add_row(str(day), self._traffic(day), *figures, "\n".join(self._events(day)))
        return table

    def _events(self, day: int) -> list[str]:
        return self.events[day] or ["calm" if day < DRIFT_FROM else "no alert"]

    def _traffic(self, day: int) -> str:
        requests = self.requests[day]
        total = requests.total() or 1
        shares = ((name, rounded(n / total, ".0%")) for name, n in sorted(requests.items()))
        return ", ".join(f"{name} {share}" for name, share in shares)


def _figures(rows: pd.DataFrame, column: str) -> str:
    return "\n".join(
        f"v{version} " + ("-" if pd.isna(value) else f"{value:.2f}")
        for version, value in zip(rows["model_version"], rows[column], strict=True)
    )


def _date(day: int) -> date:
    return START + timedelta(days=day - 1)


@dataclass
class _Demo:
    project: DemoProject
    server: DemoServer
    console: Console
    timeline: _Timeline = field(default_factory=_Timeline)
    planned: list[Day] = field(default_factory=list)
    tested: str | None = None  # the version whose A/B test is read every day

    def run(self) -> None:
        world = self.project.train()
        with self.server.running():
            self.console.print(f"The endpoint {self.server.url} is ready; {DAYS} days begin.\n")
            self._simulate_days(world)
        self._run_at_end_of(DAYS + LABEL_DELAY_DAYS)  # all labels are known

    def _simulate_days(self, world: World) -> None:
        options = TrafficOptions.model_validate(
            {"requests": REQUESTS, "records": RECORDS, "days": DAYS, "start": START, "drift": DRIFT,
             "drift_from_day": DRIFT_FROM, "label_delay_days": LABEL_DELAY_DAYS,
             "world_seed": self.project.settings.world_seed}
        )  # fmt: skip
        sender, total = Sender(f"{self.server.url}/invocations"), Tally()
        for day in traffic_plan.days(options, world):
            self.planned.append(day)
            if day.number == DRIFT_FROM:
                self.timeline.events[day.number].append(world.describe(options.drift))
            tally = replay_day(day, sender, rate=RATE, connections=CONNECTIONS, total=total)
            self.timeline.requests[day.number] = tally.entities
            wait_until(
                f"{total.requests} requests in the inference table",
                lambda: self.server.logged_requests() >= total.requests,
            )
            self._run_at_end_of(day.number)
            self._react(day.number)
            self.console.print(self.timeline.line(day.number), highlight=False)

    def _run_at_end_of(self, day: int) -> None:
        """Read the A/B test, if there is one, and monitor, with the labels that are known then."""
        labels = traffic_plan.labels_due(self.planned, day, LABEL_DELAY_DAYS)
        traffic_plan.add_labels(self.project.labels, labels)
        if self.tested is not None:
            self.project.run("ab_test")
        self.project.run("monitoring", **_at_end_of(day))

    def _react(self, day: int) -> None:
        """Follow the decision to retrain, and the verdict of the A/B test."""
        project, server, events = self.project, self.server, self.timeline.events[day]
        retrain = project.report("retrain")
        events += project.alert_events()
        if retrain["retrain"]:
            project.run("retraining", **_at_end_of(day))
            version = project.report("promotion")["model_version"]
            rows = f"{retrain['labelled_records']:,}"
            events.append(f"retrained after {rows} new labels: version {version}")
            if project.version("challenger") is None:
                events.append(f"the promotion gate rejects version {version}")
                return
            self.tested = version
            project.shift_traffic(CHALLENGER_PERCENT)
            events.append(f"version {version} is challenger: {CHALLENGER_PERCENT} % of traffic")
            wait_until(
                "the challenger's traffic",
                lambda: server.traffic().get("challenger") == CHALLENGER_PERCENT,
            )
        elif challenger := project.version("challenger"):
            report = project.report("ab_report")
            found = newest_comparison(report, challenger, project.version("champion"))
            events.append(f"A/B test: {describe(found)}")
            if found and found["verdict"] == CHALLENGER:
                decision = f"the A/B test: {report['verdict']}"
                project.promote(challenger, decision, _midnight(day + 1))
                events.append(f"version {challenger} is promoted: all traffic")
                wait_until("the new champion", lambda: server.champion_version() == challenger)


def _midnight(day: int) -> datetime:
    return datetime.combine(_date(day), clock(), UTC)


def _at_end_of(day: int) -> dict[str, dict[str, str]]:
    """Return the parameters of a run at the end of a day."""
    return {"monitoring": {"now": _midnight(day + 1).isoformat()}}


def _print_next_steps(folder: Path, report: Path, console: Console) -> None:
    # `make demo` runs without the activated environment, so `kedro` may not be on the path.
    activate = Path(sys.executable).parent / "activate"
    first = f"source {activate} && " if shutil.which("kedro") is None and activate.exists() else ""
    for purpose, command in (
        ("open the report", str(report)),
        ("go there", f"{first}cd {folder}"),
        ("see the runs and both versions", "kedro mlflow ui"),
        ("list the alerts", "kedro alerts"),
    ):
        console.print(f"  {purpose:32}{command}", highlight=False, soft_wrap=True)


@contextmanager
def _without_project_variables() -> Iterator[None]:
    """Remove the variables that redirect runs, models, tables and messages, for a while."""
    removed = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith(_PROJECT_VARIABLES) and not name.endswith(_KEPT_VARIABLES)
    }
    try:
        yield
    finally:
        os.environ.update(removed)
