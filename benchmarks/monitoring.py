"""Compare monitoring with Evidently, and run it on more and more records.

First both compare the same 100,000 rows with the same 100,000 rows and nine columns, in turns, each
in a process of its own: from a table in memory to every metric. Evidently requires pandas below 3:
--evidently names a Python that has it; else an environment is made with uv, or Evidently is left
out with --small. Metrics are counted on both sides; one with several numbers, such as quantiles,
counts once.
Then the pipeline `monitoring` runs, from the inference table on, on more and more records of ten
days, a hundred in a request. A run that fails or exceeds a limit counts as failed.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import machine
import numpy as np
import pandas as pd
import pyarrow as pa
from arguments import parse
from deltalake import write_deltalake
from main_job import HERE, make_project, make_raw
from scale import watch
from table import TABLE

from marvel_kedro.table.cleaning import read_source, select_usable

COLUMNS = [*(name for name, one in TABLE.inputs.items() if one.feature), "probability"]
AIM = 20.0
DAYS = 10
IN_A_REQUEST = 100
CHUNK = 100_000
GROWN = 1.2  # ratio of times per record above which they grow; below it is noise
START = datetime(2026, 1, 1, tzinfo=UTC)
OURS, THEIRS = "this project", "Evidently"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000, help="rows on each side")
    parser.add_argument("--evidently", type=Path, help="a Python that has Evidently 0.7")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--megabytes", type=int, default=8000, help="limit of a run")
    parser.add_argument("--minutes", type=float, default=30, help="limit of a run")
    options = parse(parser, rows=2000, rounds=1, records=[1000])
    print(machine.describe("duckdb", "pyarrow", "scipy"), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        raw = pd.read_csv(make_raw(folder, options.rows), dtype="str", keep_default_na=False)
        characters = select_usable(read_source(raw, TABLE), TABLE).reset_index(drop=True)
        if options.rounds:
            compare_with_evidently(folder, characters, options)
        if options.records:
            growth(folder, characters, options)


def compare_with_evidently(
    folder: Path, characters: pd.DataFrame, options: argparse.Namespace
) -> None:
    """Run both sides in turns, three times in each process; the first time is the warm-up."""
    python = evidently_python(folder, options)
    paths = []
    for name, seed in (("reference", 1), ("current", 2)):
        paths.append(folder / f"{name}.parquet")
        sample(characters, options.rows, seed)[COLUMNS].to_parquet(paths[-1], index=False)
    commands = {
        OURS: [sys.executable, str(HERE / "monitoring_peer.py")],
    }
    if python:
        commands[THEIRS] = [str(python), str(HERE / "evidently_peer.py")]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in commands}
    for _ in range(options.rounds):
        for name, command in commands.items():
            done = subprocess.run(
                [*command, *map(str, paths), "3"], capture_output=True, text=True, check=True
            )
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    print(
        f"\n{options.rows:,} rows against {options.rows:,}, {len(COLUMNS)} columns: "
        f"seconds, first and later, median of {options.rounds} rounds; metrics"
    )
    later = {}
    for name, rounds in found.items():
        first = statistics.median(one["seconds"][0] for one in rounds)
        later[name] = [statistics.median(one["seconds"][1:]) for one in rounds]
        print(
            f"  {name:14}{first:8.3f} {statistics.median(later[name]):8.3f} "
            f"{rounds[-1]['metrics']:8,}  {rounds[-1].get('versions', '')}"
        )
    if not python:
        print("  Evidently was skipped", flush=True)
        return
    ratio = statistics.median(
        their / our for our, their in zip(later[OURS], later[THEIRS], strict=True)
    )
    verdict = "met" if ratio >= AIM else "MISSED"
    print(f"Evidently takes {ratio:.1f} times the time (aim at least {AIM:.0f}): {verdict}")
    verdict = "met" if found[OURS][-1]["metrics"] > found[THEIRS][-1]["metrics"] else "MISSED"
    print(f"more metrics than Evidently: {verdict}", flush=True)


def evidently_python(folder: Path, options: argparse.Namespace) -> Path | None:
    """Return a Python that has Evidently, made with uv if none is given; None with --small."""
    if options.evidently or options.small:
        given: Path | None = options.evidently
        return given
    home = folder / "evidently"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(home)], check=True)
    python = home / "bin" / "python"
    packages = ["evidently>=0.7,<0.8", "pandas<3", "pyarrow"]
    subprocess.run([*uv, "pip", "install", "-q", "--python", str(python), *packages], check=True)
    return python


def sample(characters: pd.DataFrame, rows: int, seed: int) -> pd.DataFrame:
    """Draw characters with a probability, with replacement."""
    generator = np.random.default_rng(seed)
    drawn = characters.iloc[generator.integers(0, len(characters), rows)].reset_index(drop=True)
    return drawn.assign(probability=generator.beta(3, 2, rows))


def growth(folder: Path, characters: pd.DataFrame, options: argparse.Namespace) -> None:
    """Run the whole pipeline, from the inference table on."""
    project = make_project(folder / "project", make_raw(folder, 10_000))
    run(project, options)
    print(
        "\nthe pipeline monitoring: seconds of its nodes, microseconds a record, of them reading, "
        "again with nothing new (seconds), peak megabytes"
    )
    last = 0.0
    for records in options.records:
        write_requests(project / "data/07_model_output", characters, records)
        found = run(project, options, "monitoring")
        if isinstance(found, str):
            print(f"  {records:>10,} FAILED: {found}", flush=True)
            continue
        seconds, megabytes = found
        again = run(project, options, "monitoring")
        work = _work(seconds)
        each = 1e6 * work / records
        reading = 1e6 * seconds["update_log"] / records
        rest = f"FAILED: {again}" if isinstance(again, str) else f"{_work(again[0]):8.1f}"
        line = f"  {records:>10,} {work:8.1f} {each:8.1f} {reading:8.1f} {rest} {megabytes:8,.0f}"
        if last:
            line += f"   {each / last:.2f} times the time a record"
            line += "  MISSED: grows" if each > GROWN * last else ""
        last = each
        print(line, flush=True)


_AROUND = ("imports of Kedro and MLflow", "own imports and store", "start of the run", "summary")


def _work(seconds: dict[str, float]) -> float:
    return sum(value for stage, value in seconds.items() if stage not in _AROUND)


def write_requests(folder: Path, characters: pd.DataFrame, records: int) -> None:
    """Write an inference table of ten days."""
    tables = ("inference_payload", "served_entities", "inference_log", "rejected_requests")
    for name in tables:
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / "watermarks.parquet").unlink(missing_ok=True)
    for table in (folder.parent / "08_reporting").glob("*_metrics.parquet"):
        table.unlink()
    number = 0
    for start in range(0, records, CHUNK):
        some = sample(characters, min(CHUNK, records - start), start)
        requests = []
        for place in range(0, len(some), IN_A_REQUEST):
            rows = some.iloc[place : place + IN_A_REQUEST]
            sent = rows[[TABLE.key, *TABLE.inputs]]
            predictions = [
                {"prediction": TABLE.target.classes[value < 0.5], "probability": value}  # noqa: PLR2004
                for value in rows["probability"]
            ]
            time_of = START + timedelta(days=DAYS * number * IN_A_REQUEST / records)
            requests.append(
                {
                    "databricks_request_id": f"request-{number}",
                    "request_date": time_of.date(),
                    "client_request_id": None,
                    "request_time": time_of,
                    "status_code": 200,
                    "execution_duration_ms": 5,
                    "request": json.dumps(
                        {"dataframe_records": json.loads(sent.to_json(orient="records"))}
                    ),
                    "response": json.dumps({"predictions": predictions}),
                    "logging_error_codes": [],
                    "served_entity_id": "a",
                }
            )
            number += 1
        write_deltalake(
            folder / "inference_payload",
            pa.Table.from_pylist(requests, _PAYLOAD),
            partition_by=["request_date"],
            mode="append",
        )
    served = {
        "served_entity_id": ["a"],
        "served_entity_name": ["champion"],
        "entity_version": ["1"],
        "change_time": pa.array([START], pa.timestamp("us", "UTC")),
    }
    write_deltalake(folder / "served_entities", pa.table(served))


_PAYLOAD = pa.schema(
    [
        ("databricks_request_id", pa.string()),
        ("request_date", pa.date32()),
        ("client_request_id", pa.string()),
        ("request_time", pa.timestamp("us", "UTC")),
        ("status_code", pa.int32()),
        ("execution_duration_ms", pa.int64()),
        ("request", pa.string()),
        ("response", pa.string()),
        ("logging_error_codes", pa.list_(pa.string())),
        ("served_entity_id", pa.string()),
    ]
)


def run(
    project: Path, options: argparse.Namespace, *pipelines: str
) -> tuple[dict[str, float], float] | str:
    """Run pipelines in a process of its own.

    Returns:
        Seconds by stage and the peak megabytes, or why the run failed.
    """
    output = project / "output.txt"
    begin = time.perf_counter()
    with output.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, str(HERE / "kedro_job.py"), str(project), "base", *pipelines],
            cwd=project,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        peak, _, failure = watch(process, options.megabytes, 60 * options.minutes)
    lines = output.read_text().splitlines()
    if process.returncode or failure:
        reason = failure or " ".join(lines[-3:])[:300]
        return f"after {time.perf_counter() - begin:,.0f} s: {reason}"
    return json.loads(lines[-1])["seconds"], peak


if __name__ == "__main__":
    main()
