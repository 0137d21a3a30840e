"""`kedro demo`: ten simulated days, from a calm week to drift, an alert, a retraining and back.

Nothing in it is played: the server, its tables, the pipelines and the registry are those of every
day, in a project folder of their own. Only the clock is simulated.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import requests
import yaml
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.simulation import traffic_plan
from marvel_kedro.simulation.traffic_plan import TrafficOptions
from marvel_kedro.simulation.traffic_replay import Sender, Tally, replay_day

DAYS, DRIFT_FROM = 10, 6
START = date(2026, 1, 5)
REQUESTS, RECORDS = 300, 8
SCENARIO = {"scenario": "concept", "magnitude": 0.9}
ROWS = 6000
SHARE = 50  # per cent of the traffic that a challenger gets before it is promoted
RATE, CONNECTIONS = 2000.0, 8
PATIENCE = 60.0  # seconds for the server to start, to follow an alias, to write down

_STEERING = ("MLFLOW_", "MARVEL_", "KEDRO_", "SPARK_", "DATABRICKS_", "OTEL_")
_HARMLESS = ("TELEMETRY", "RETRIES", "TIMEOUT", "LOGGING_CONFIG")
_COPIED = ("conf", "src", "pyproject.toml", ".telemetry")
_REPORT = "data/08_reporting/monitoring_report.html"


@dataclass
class Story:
    """What has happened.

    Attributes:
        events: By day, in words.
        answered: By day, who has answered how many requests.
    """

    events: dict[int, list[str]] = field(default_factory=dict)
    answered: dict[int, dict[str, int]] = field(default_factory=dict)

    def tell(self, day: int, what: str) -> None:
        """Note an event."""
        self.events.setdefault(day, []).append(what)


def run(project: Path, folder: Path, console: Console) -> Path:
    """Simulate the days, and print a line a day and the timeline at the end.

    Args:
        project: The project whose code and configuration are used.
        folder: Where the demo's own project is made; one that is there is made anew.
        console: Where to print.

    Returns:
        The report.

    Raises:
        ProjectError: The server does not start, or a step of it fails.
    """
    with _nothing_of_elsewhere():
        return _run(project, folder, console)


def _run(project: Path, folder: Path, console: Console) -> Path:
    began = time.monotonic()
    port = _free_port()
    make_project(project, folder, port)
    stage = Stage(folder)
    story = Story()
    console.print(
        f"A project of its own in [bold]{folder}[/bold]; your data and models are left alone."
    )
    console.print("Training a champion on made-up characters ..")
    stage.run("synthetic")
    stage.run()
    with _server(folder, port) as address:
        console.print(f"The endpoint answers at {address}; {DAYS} days begin.\n")
        _days(stage, address, story, console)
    _measure(stage, DAYS + 1)  # the labels of the last day are known
    console.print()
    console.print(timeline(folder, story))
    report = folder / _REPORT
    console.print(f"\n{time.monotonic() - began:.0f} seconds. Next:")
    # Whoever came by make has not activated the environment that `kedro` is in.
    activate = Path(sys.executable).parent / "activate"
    first = f"source {activate} && " if shutil.which("kedro") is None and activate.exists() else ""
    for what, how in (
        ("open the report", str(report)),
        ("go there", f"{first}cd {folder}"),
        ("see the runs and both versions", "kedro mlflow ui"),
        ("see the pipelines", "kedro viz run"),
        ("ask for alerts", "kedro alerts"),
    ):
        console.print(f"  {what:32}{how}", highlight=False, soft_wrap=True)
    return report


def make_project(project: Path, folder: Path, port: int) -> None:
    """Copy what Kedro needs, and say what is other than usual in `conf/local`.

    Raises:
        ProjectError: Something else is in the folder.
    """
    if folder.exists() and not (folder / ".demo").exists() and any(folder.iterdir()):
        raise ProjectError(f"{folder} is not empty, and no demo: name another folder, --folder.")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "data").mkdir(parents=True)
    (folder / ".demo").touch()
    for name in _COPIED:
        source = project / name
        if source.is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", "local")
            shutil.copytree(source, folder / name, ignore=unwanted)
        else:
            shutil.copy(source, folder / name)
    parameters = {
        "synthetic": {"rows": ROWS},
        "server": {
            "port": port,
            "accept_simulated_time": True,
            "poll_seconds": 1,
            "flush_seconds": 1,
        },
        "retraining": {"release": "challenger", "days": 2},
    }
    local = folder / "conf" / "local"
    local.mkdir()
    (local / "parameters.yml").write_text(yaml.safe_dump(parameters), "utf-8")


def _days(stage: "Stage", address: str, story: Story, console: Console) -> None:
    options = TrafficOptions.model_validate(
        {"requests": REQUESTS, "records": RECORDS, "days": DAYS, "start": START, "drift": SCENARIO,
         "drift_from_day": DRIFT_FROM, "world": stage.seed}
    )  # fmt: skip
    sender, total = Sender(f"{address}/invocations"), Tally()
    for day in traffic_plan.days(options):
        if day.number == DRIFT_FROM:
            story.tell(day.number, "what makes a character live changes, and nobody says so")
        tally = replay_day(day, sender, rate=RATE, connections=CONNECTIONS, total=total)
        story.answered[day.number] = dict(tally.entities)
        _until(
            f"{total.requests} requests to be in the table",
            lambda: _logged(address) >= total.requests,
        )
        traffic_plan.add_labels(stage.labels, day.labels)
        _measure(stage, day.number)
        _react(stage, address, story, day.number)
        told = "; ".join(story.events.get(day.number, ["calm"]))
        console.print(
            f"day {day.number:2}  {day.date}  {_shares(tally.entities)}  {told}", highlight=False
        )


def _measure(stage: "Stage", number: int) -> None:
    """Run `monitoring` at the end of a day, by the labels that are known then."""
    stage.run("monitoring", monitoring=_end_of(number))


def _end_of(number: int) -> dict[str, str]:
    return {"now": datetime.combine(START + timedelta(days=number), clock(), UTC).isoformat()}


def _react(stage: "Stage", address: str, story: Story, number: int) -> None:
    """Do what the decision says, and what comes after it."""
    retrain = stage.report("retrain")
    for alert in stage.new_alerts():
        story.tell(number, f"alert {alert}")
    if retrain["retrain"]:
        stage.run("retraining", monitoring=_end_of(number))
        version = stage.report("promotion")["model_version"]
        story.tell(
            number, f"retrained on {retrain['labelled_records']:,} new labels: version {version}"
        )
        if stage.version("challenger") is None:
            story.tell(number, "the gate refuses it")
            return
        stage.shift(SHARE)
        story.tell(number, f"it is the challenger, with {SHARE} % of the traffic")
        _until("the traffic to be shifted", lambda: _traffic(address).get("challenger") == SHARE)
    elif version := stage.version("challenger"):
        stage.promote(version)
        story.tell(number, f"version {version} is promoted: all of the traffic is its")
        _until("the server to follow", lambda: _champion(address) == version)


class Stage:
    """The demo's project: its pipelines in this process, and what they leave."""

    def __init__(self, folder: Path) -> None:
        from kedro.framework.startup import bootstrap_project  # noqa: PLC0415 - for commands

        self._folder = folder.resolve()
        self._told: set[str] = set()
        self.labels = self._folder / "data/03_primary/labels.parquet"
        bootstrap_project(self._folder)
        from marvel_kedro.model import tracking  # noqa: PLC0415 - imports every pipeline
        from marvel_kedro.project import configuration  # noqa: PLC0415 - imports every pipeline

        with _inside(self._folder):
            read = configuration.load()
        self._endpoint = read.description.endpoint
        self._store = tracking.find_store(self._folder).uri
        self.seed = read.parameters.synthetic.seed

    def run(self, *names: str, **parameters: Mapping[str, Any]) -> None:
        """Run pipelines; what they say goes to a file."""
        from kedro.framework.session import KedroSession  # noqa: PLC0415 - for commands

        session: Any
        with (
            _inside(self._folder),
            (self._folder / "demo.log").open("a", encoding="utf-8") as log,
            redirect_stdout(log),
            redirect_stderr(log),
            KedroSession.create(self._folder, runtime_params=parameters) as session,
        ):
            session.run(pipeline_names=list(names) or None)

    def report(self, name: str) -> Any:  # noqa: ANN401 - what JSON holds
        """Read a report."""
        return json.loads((self._folder / f"data/08_reporting/{name}.json").read_text("utf-8"))

    def new_alerts(self) -> list[str]:
        """What has fired since this was asked last."""
        rows = pq.read_table(self._folder / "data/08_reporting/alerts.parquet").to_pylist()
        new = [row for row in rows if row["state"] == "open" and row["alert_id"] not in self._told]
        self._told |= {row["alert_id"] for row in new}
        return sorted({str(row["rule"]) for row in new})

    def version(self, alias: str) -> str | None:
        """The version that has an alias."""
        from marvel_kedro.model import aliases  # noqa: PLC0415 - slow to import

        with self._registry():
            found = aliases.find_version(self._endpoint.model, alias=alias)
        return str(found.version) if found else None

    def shift(self, percent: int) -> None:
        """Give the challenger a share of the traffic."""
        from marvel_kedro.serving import traffic_shift  # noqa: PLC0415 - slow to import

        with self._registry():
            traffic_shift.shift(self._endpoint, {"champion": 100 - percent, "challenger": percent})

    def promote(self, version: str) -> None:
        """Make a version the champion, with all of the traffic."""
        from marvel_kedro.model import aliases  # noqa: PLC0415 - slow to import

        with self._registry():
            aliases.move_alias(self._endpoint.model, "champion", version)

    @contextmanager
    def _registry(self) -> Iterator[None]:
        import mlflow  # noqa: PLC0415 - slow to import

        mlflow.set_tracking_uri(self._store)
        with _inside(self._folder):
            yield


def timeline(folder: Path, story: Story) -> Table:
    """What happened by day, with the quality that the labels say and the one that was estimated."""
    table = Table(title="Ten days", title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("day", "answered by", "ROC AUC", "estimated", "what happened"):
        table.add_column(name, no_wrap=name != "what happened")
    quality = _quality(folder)
    for day, answered in story.answered.items():
        of_day = quality.get(START + timedelta(days=day - 1), [])
        table.add_row(
            str(day),
            _shares(answered),
            "\n".join(_figure(row, "realised") for row in of_day),
            "\n".join(_figure(row, "estimate") for row in of_day),
            "\n".join(story.events.get(day, ["calm"])),
        )
    return table


def _quality(folder: Path) -> dict[date, list[dict[str, Any]]]:
    rows = pq.read_table(folder / "data/08_reporting/quality_estimates.parquet").to_pylist()
    found: dict[date, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: str(row["model_version"])):
        if (
            row["metric"] == "roc_auc"
            and row["slice_key"] is None
            and row["granularity"] == "1 day"
        ):
            found.setdefault(row["window"]["start"].date(), []).append(row)
    return found


def _figure(row: dict[str, Any], name: str) -> str:
    figure = "-" if row[name] is None else f"{row[name]:.2f}"
    return f"v{row['model_version']} {figure}"


def _shares(answered: Mapping[str, int]) -> str:
    whole = sum(answered.values()) or 1
    return ", ".join(f"{name} {100 * n / whole:.0f} %" for name, n in sorted(answered.items()))


@contextmanager
def _server(folder: Path, port: int) -> Iterator[str]:
    """`kedro serve`, for as long as it takes."""
    address = f"http://127.0.0.1:{port}"
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "kedro", "serve"],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONPATH": str(folder / "src")},
        )
        try:
            _until("the server to start", lambda: _is_ready(process, address, folder))
            yield address
        finally:
            process.terminate()
            process.wait()


def _is_ready(process: "subprocess.Popen[bytes]", address: str, folder: Path) -> bool:
    if process.poll() is not None:
        raise ProjectError(f"The server ended at once; {folder / 'server.log'} says why.")
    return bool(requests.get(f"{address}/health", timeout=1).ok)


def _traffic(address: str) -> dict[str, int]:
    """Percentages by who answers."""
    found: dict[str, int] = requests.get(f"{address}/version", timeout=5).json()["traffic"]
    return found


def _champion(address: str) -> str | None:
    """The version that answers as champion."""
    for served in requests.get(f"{address}/version", timeout=5).json()["served_entities"]:
        if served["name"] == "champion":
            return str(served["entity_version"])
    return None


def _logged(address: str) -> int:
    """How many requests are in the inference table."""
    page = requests.get(f"{address}/metrics", timeout=5).text
    values = (line.split()[1] for line in page.splitlines() if line.startswith(_IN_TABLE))
    return int(sum(map(float, values)))


_IN_TABLE = "marvel_inference_log_rows_total"


def _until(what: str, true: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with suppress(requests.RequestException):
            if true():
                return
        time.sleep(0.1)
    raise ProjectError(
        f"Waited {PATIENCE:.0f} s for {what}. server.log in the demo's folder says more."
    )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def _nothing_of_elsewhere() -> Iterator[None]:
    """Without the variables that say where runs, models, tables and messages go otherwise."""
    taken = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith(_STEERING) and not name.endswith(_HARMLESS)
    }
    try:
        yield
    finally:
        os.environ.update(taken)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """With the folder as the current one, which relative paths are relative to."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
