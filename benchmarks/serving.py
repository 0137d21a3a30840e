"""Compare the endpoint with `mlflow models serve`, MLServer and two small ASGI applications.

One model, one process each, one client: wrk (Debian's package `wrk`), which sends 1,000 different
records in turn. This server has validation, routing, inference table, metrics and access log on.
Each round measures all servers, one after the other; medians of the rounds are printed.

MLServer requires an environment of its own: --mlserver names its Python, else one is made with uv,
or MLServer is left out with --small.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import machine
import mlflow
import pandas as pd
import psutil
import requests
from arguments import parse
from mlflow import MlflowClient
from table import TABLE

from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table.cleaning import read_source, select_usable

HERE = Path(__file__).parent
MODEL = TABLE.name
DIFFERENT = 1000
BATCH = 1000
OURS, MLFLOW, MLSERVER, BARE, EMPTY = (
    "this server", "mlflow models serve", "MLServer", "bare, booster only", "empty",
)  # fmt: skip
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}

_LUA = """
local bodies = {}
for line in io.lines("%s") do bodies[#bodies + 1] = line end
local next_body = 0
request = function()
  next_body = next_body %% #bodies + 1
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, bodies[next_body])
end
"""


@dataclass
class Server:
    """A server to compare.

    Attributes:
        name: Its name in the table.
        command: The command that starts it.
        port: The port it listens on.
        environment: Environment variables beyond this process's.
        first: Seconds from its first start to its first answer.
        ready: Seconds from its second start to its first answer.
        megabytes: Resident memory of the process that answers.
        found: Figures of each round by kind of request.
    """

    name: str
    command: list[str]
    port: int
    environment: dict[str, str] = field(default_factory=dict)
    first: float = 0.0
    ready: float = 0.0
    megabytes: float = 0.0
    found: dict[str, list[dict[str, float]]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The URL of its invocations."""
        return f"http://127.0.0.1:{self.port}/invocations"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=96_000, help="rows to fit the model on")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument(
        "--requests", type=int, default=200_000, help="after which memory is measured again"
    )
    parser.add_argument("--mlserver", type=Path, help="Python of an environment with MLServer")
    options = parse(parser, rows=2000, rounds=1, seconds=1, requests=1000)
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is needed: apt-get install wrk")
    print(machine.describe("uvicorn", "uvloop", "orjson", "prometheus-client", "deltalake"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, records = make_model(folder, options.rows)
        scripts = {
            "single": write_script(folder, "single", [[record] for record in records]),
            "batch": write_script(folder, "batch", [records[:BATCH]]),
        }
        servers = peers(folder, model, mlserver_python(options))
        with ExitStack() as running:
            for server in servers:
                with started(server, folder, records[0]):
                    server.first = server.ready
                running.enter_context(started(server, folder, records[0]))
            for _ in range(options.rounds):
                for server in servers:
                    measure(server, scripts, options.connections, options.seconds)
            grown = growth(servers[0], scripts["single"], options)
        report(servers, options.connections, grown)
        where_the_time_goes(model, records)


def make_model(folder: Path, rows: int) -> tuple[Path, list[dict[str, Any]]]:
    """Fit and register a model; return its files and records to send."""
    raw_file = folder / "raw.csv"
    RawCSVDataset(filepath=str(raw_file)).save(make_characters(SyntheticOptions(rows=rows)))
    raw = pd.read_csv(raw_file, dtype="str", keep_default_na=False)
    characters = select_usable(read_source(raw, TABLE), TABLE).reset_index(drop=True)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    experiment = MlflowClient().create_experiment("serving", (folder / "artifacts").as_uri())
    with mlflow.start_run(experiment_id=experiment):
        uri = log_candidate(fit(characters, TABLE, FitOptions()), MODEL).model_uri
    number = mlflow.register_model(uri, MODEL).version
    MlflowClient().set_registered_model_alias(MODEL, "champion", number)
    files = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder / "model")))
    fields = characters[list(TABLE.inputs)].head(DIFFERENT).astype(object)
    records: Any = fields.where(fields.notna(), None).to_dict("records")
    return files, records


def peers(folder: Path, model: Path, mlserver: Path | None) -> list[Server]:
    """Describe each server; MLServer only if there is a Python that has it."""
    python = sys.executable
    description = {
        "table": TABLE.model_dump(),
        "endpoint": {
            "name": MODEL,
            "model": MODEL,
            "served_entities": [{"name": "champion", "alias": "champion"}],
            "traffic": {"champion": 100},
        },
        "server": {
            "port": 18080,
            "folder": str(folder / "server"),
            "models": str(folder / "server" / "models"),
            "inference_table": str(folder / "inference_payload"),
            "online_records": str(folder / "online_records.db"),
        },
    }
    (folder / "description.json").write_text(json.dumps(description))
    bare = [python, "-m", "uvicorn", "--log-level", "error", "--no-access-log", "--app-dir"]
    files = {"MODEL": str(model / "artifacts" / "model")}
    servers = [
        Server(
            OURS,
            [python, "-m", "marvel_kedro.serving", str(folder / "description.json")],
            18080,
            {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"},
        ),
        Server(
            MLFLOW,
            [python, "-m", "mlflow", "models", "serve", "-m", str(model), "-p", "18081",
             "--env-manager", "local"],
            18081,
        ),
        Server(BARE, [*bare, str(HERE), "bare_app:booster", "--port", "18083"], 18083, files),
        Server(EMPTY, [*bare, str(HERE), "bare_app:empty", "--port", "18084"], 18084, files),
    ]  # fmt: skip
    if mlserver:
        servers.insert(2, _mlserver(folder, model, mlserver))
    return servers


def _mlserver(folder: Path, model: Path, python: Path) -> Server:
    mlserver_folder = folder / "mlserver"
    mlserver_folder.mkdir()
    (mlserver_folder / "model-settings.json").write_text(
        json.dumps(
            {
                "name": "marvel",
                "implementation": "mlserver_mlflow.MLflowRuntime",
                "parameters": {"uri": str(model)},
            }
        )
    )
    (mlserver_folder / "settings.json").write_text(
        json.dumps(
            {
                "host": "127.0.0.1",
                "http_port": 18082,
                "grpc_port": 18092,
                "metrics_port": 18093,
                "parallel_workers": 0,
            }
        )
    )
    command = [str(python.with_name("mlserver")), "start", str(mlserver_folder)]
    return Server(MLSERVER, command, 18082)


def mlserver_python(options: argparse.Namespace) -> Path | None:
    """Return a Python that has MLServer, made with uv if none is given; None with --small."""
    if options.mlserver or options.small:
        given: Path | None = options.mlserver
        return given
    home = HERE.parent / ".venv-mlserver"
    python = home / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    if not (home / "bin" / "mlserver").exists():
        print("Making an environment with MLServer ..", flush=True)
        subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(home)], check=True)
        pinned = [f"{name}=={version(name)}" for name in ("mlflow", "lightgbm", "pandas")]
        install = [*uv, "pip", "install", "-q", "--python", str(python)]
        subprocess.run([*install, "mlserver", "mlserver-mlflow", *pinned], check=True)
    return python


def write_script(folder: Path, name: str, requests_: list[list[dict[str, Any]]]) -> Path:
    """Write the script with which wrk sends requests in turn."""
    bodies = folder / f"{name}.jsonl"
    lines = [json.dumps({"dataframe_records": records}) for records in requests_]
    bodies.write_text("\n".join(lines) + "\n")
    script = folder / f"{name}.lua"
    script.write_text(_LUA % bodies)
    return script


@contextmanager
def started(server: Server, folder: Path, record: dict[str, Any]) -> Iterator[None]:
    """Start a server, and stop it with all processes that it has started."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PATH": path} | server.environment
    start = time.monotonic()
    with (folder / f"{server.port}.log").open("wb") as log:
        process = subprocess.Popen(
            server.command, env=environment, cwd=folder, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        while True:
            if process.poll() is not None or time.monotonic() > start + 120:
                text = (folder / f"{server.port}.log").read_text(errors="replace")[-2000:]
                raise SystemExit(f"{server.name} does not start:\n{text}")
            with suppress(requests.RequestException):
                body = {"dataframe_records": [record]}
                if requests.post(server.url, json=body, timeout=5).ok:
                    break
            time.sleep(0.02)
        server.ready = time.monotonic() - start
        yield
    finally:
        family: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(60)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.terminate()
        psutil.wait_procs(family, 30)  # else they would answer in place of the next server


def loaded(server: Server, script: Path, connections: int, seconds: int) -> str:
    """Load a server and return the report of wrk."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", str(script)]
    done = subprocess.run([*command, server.url], capture_output=True, text=True, check=True)
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise SystemExit(f"{server.name} rejected some requests:\n{done.stdout}")
    return done.stdout


def measure(server: Server, scripts: dict[str, Path], connections: int, seconds: int) -> None:
    """Load a server with each kind of request."""
    for kind, script in scripts.items():
        text = loaded(server, script, connections, seconds)
        server.found.setdefault(kind, []).append(
            {
                "rate": float(_find(r"Requests/sec:\s+([\d.]+)", text)[1]),
                "p50": _milliseconds("50%", text),
                "p99": _milliseconds("99%", text),
            }
        )
    server.megabytes = max(server.megabytes, _largest_worker(server))


def growth(server: Server, script: Path, options: argparse.Namespace) -> float:
    """Return by how many megabytes a server grows over `--requests` more requests."""
    before, answered = _largest_worker(server), 0
    while answered < options.requests:
        text = loaded(server, script, options.connections, options.seconds)
        answered += int(_find(r"(\d+) requests in", text)[1])
    return _largest_worker(server) - before


def _largest_worker(server: Server) -> float:
    """Return resident megabytes of the process that answers: the busiest one of the family."""
    connections: list[Any] = psutil.net_connections("tcp")
    for connection in connections:
        if (
            connection.laddr.port == server.port
            and connection.pid
            and connection.status == "LISTEN"
        ):
            parent = psutil.Process(connection.pid)
            family = [parent, *parent.children(recursive=True)]
            busiest = max(family, key=lambda one: sum(one.cpu_times()[:2]))
            return float(busiest.memory_info().rss) / 1e6
    return 0.0


def _find(pattern: str, text: str) -> re.Match[str]:
    found = re.search(pattern, text)
    if found is None:
        raise SystemExit(f"wrk's report does not match {pattern}:\n{text}")
    return found


def _milliseconds(percentile: str, text: str) -> float:
    found = _find(rf"\s{percentile}\s+([\d.]+)(us|ms|s)", text)
    return float(found[1]) * _UNITS[found[2]]


def report(servers: list[Server], connections: int, grown: float) -> None:
    """Print the medians, and the aims with the figures."""
    print(f"\n{connections} connections, one process each; medians of the rounds")
    print(
        f"  {'':22} {'first':>7} {'again':>7} {'memory':>8} {'single':>10} {'p50':>9} {'p99':>9}",
        end="",
    )
    print(f" {f'batches of {BATCH}':>16} {'p99':>9}")
    for server in servers:
        single, many = _median(server, "single"), _median(server, "batch")
        print(
            f"  {server.name:22} {server.first:5.1f} s {server.ready:5.1f} s "
            f"{server.megabytes:5.0f} MB {single['rate']:8,.0f}/s {single['p50']:6.2f} ms "
            f"{single['p99']:6.2f} ms "
            f"{many['rate']:14,.1f}/s {many['p99']:6.0f} ms"
        )
    by = {server.name: server for server in servers}
    one = {name: _median(server, "single") for name, server in by.items()}
    batches = {name: _median(server, "batch")["rate"] for name, server in by.items()}
    ours = one[OURS]
    mlserver = [ours["rate"] / one[MLSERVER]["rate"]] if MLSERVER in one else []
    aims = [
        ("single records, times MLflow's throughput", ours["rate"] / one[MLFLOW]["rate"], ">=", 30),
        *(("times MLServer's", ratio, ">=", 18) for ratio in mlserver),
        ("p99 relative to MLflow's", ours["p99"] / one[MLFLOW]["p99"], "<=", 0.1),
        ("of the bare application's throughput", ours["rate"] / one[BARE]["rate"], ">=", 0.8),
        ("batches, times MLflow's throughput", batches[OURS] / batches[MLFLOW], ">=", 3),
        ("ready when started for the first time, seconds", by[OURS].first, "<=", 3),
        ("ready when started again, seconds", by[OURS].ready, "<=", 3),
        ("megabytes a worker", by[OURS].megabytes, "<=", 350),
        ("growth in megabytes over --requests further requests", grown, "<=", 5),
    ]
    print()
    for label, value, sign, aim in aims:
        met = value >= aim if sign == ">=" else value <= aim
        print(f"  {'met   ' if met else 'MISSED'} {value:8.2f}  {label} (aim {sign} {aim})")


def _median(server: Server, kind: str) -> dict[str, float]:
    rounds = server.found[kind]
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def where_the_time_goes(model: Path, records: list[dict[str, Any]]) -> None:
    """Time the steps of a request with one record, each alone, in this process."""
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", tempfile.mkdtemp())
    from marvel_kedro.serving.configuration import InferenceTableOptions  # noqa: PLC0415
    from marvel_kedro.serving.http import protocol  # noqa: PLC0415 - see above
    from marvel_kedro.serving.inference_table.spool import Entry, Spool  # noqa: PLC0415
    from marvel_kedro.serving.models import loaded_model  # noqa: PLC0415 - see above
    from marvel_kedro.serving.telemetry import metrics  # noqa: PLC0415 - see above

    loaded = loaded_model.load(model)
    bodies = [json.dumps({"dataframe_records": [record]}).encode() for record in records]
    singles = [[record] for record in records]
    answers = [loaded.score(single) for single in singles]
    tally = metrics.Tally(TABLE.target.positive)
    spool = Spool(Path(tempfile.mkdtemp()), InferenceTableOptions(), 2**40)

    def write(body: bytes) -> None:
        spool.write(
            Entry("0" * 32, None, 0, 200, 1, body, protocol.answer(answers[0]), "0" * 32, None)
        )

    def count(_: Any) -> None:  # noqa: ANN401 - not used
        tally.request("champion", "1", 200, 0.001)
        tally.records("champion", "1", answers[0])

    steps: list[tuple[str, Callable[[Any], Any], list[Any]]] = [
        ("read the body", protocol.read, bodies),
        (
            "validate it against the signature",
            lambda one: protocol.conform(one, loaded.schema, loaded.required),
            singles,
        ),
        ("features and trees", loaded.score, singles),
        ("write the answer's JSON", protocol.answer, answers),
        ("write it to the spool", write, bodies),
        ("count it", count, bodies),
    ]
    print("\nA request with one record, microseconds; the rest is HTTP, routing and the log")
    for name, function, values in steps:
        seconds = min(
            timeit.repeat(lambda: [function(value) for value in values], number=1, repeat=5)  # noqa: B023
        )
        print(f"  {1e6 * seconds / len(values):6.1f}  {name}")
        tally.publish()


if __name__ == "__main__":
    main()
