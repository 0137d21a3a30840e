"""Run `processing` and batch scoring on more and more rows: pandas, Sail and Spark.

Each run is a process of its own on the same synthetic file and with the same champion, which is
trained on few rows. Memory is that of the process with all its children (the JVM, the workers),
as the proportional set size on Linux. Processor seconds include the children and are less noisy
than wall time. A run that fails or exceeds a limit counts as failed.
Then the whole job runs on Sail and on pandas, with the time before the first node.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import machine
import psutil
from arguments import parse
from main_job import HERE, RAW, make_project, make_raw
from mlflow import MlflowClient

ENGINES = {"pandas": "base", "sail": "lakehouse", "spark": "lakehouse"}
MODELS = {"sail": "sail", "spark": "spark_catalog"}  # the catalog in the model's name
START = ("imports of Kedro and MLflow", "own imports and store", "start of the run")
AIM_RATIO = 2.0
AIM_COLD_SECONDS = 5.0
GROWN = 1.1  # ratio of times per row above which they grow; below it is noise
INTERVAL = 0.2  # seconds between two readings of the memory


@dataclass(frozen=True)
class Run:
    """Figures of a run; `failure` is why there are no stages."""

    seconds: float
    cpu: float
    megabytes: float
    stages: dict[str, float]
    failure: str = ""

    @property
    def work(self) -> float:
        """Seconds without imports, store and session."""
        return sum(value for stage, value in self.stages.items() if stage not in START)

    @property
    def start(self) -> float:
        """Seconds before the first node."""
        return sum(self.stages[stage] for stage in START)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--engines", nargs="*", choices=ENGINES, default=list(ENGINES))
    parser.add_argument("--megabytes", type=int, default=8000, help="limit of a run")
    parser.add_argument("--minutes", type=float, default=15, help="limit of a run")
    parser.add_argument("--main", type=int, default=96_000, help="rows of the whole job; 0: none")
    parser.add_argument("--runs", type=int, default=3, help="runs of the whole job")
    parser.add_argument("--folder", type=Path, help="keeps the raw files here")
    options = parse(parser, rows=[1500], engines=["pandas", "sail"], main=1500, runs=1)
    print(machine.describe("pysail", "pyspark", "deltalake"), flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        raws = options.folder or folder
        raws.mkdir(parents=True, exist_ok=True)
        project = make_project(folder / "project", make_raw(raws, 10_000))
        make_champion(project)
        if options.rows:
            growth(project, raws, options)
        if options.main:
            compare_jobs(project, make_raw(raws, options.main), options)


def growth(project: Path, raws: Path, options: argparse.Namespace) -> None:
    """Run each engine on more and more rows."""
    print(
        "\nprocessing and serving: seconds without the start (of them serving), rows a second, "
        f"microseconds a row, processor seconds of the run, "
        f"peak megabytes (above {options.megabytes:,}: failed)"
    )
    last: dict[str, float] = {}
    for rows in options.rows:
        raw = make_raw(raws, rows)
        for engine in options.engines:
            found = run(project, raw, engine, options, "processing", "serving")
            line = f"  {rows:>10,}  {engine:7}"
            if found.failure:
                print(f"{line} FAILED after {found.seconds:,.0f} s: {found.failure}", flush=True)
                continue
            each = 1e6 * found.work / rows
            line += (
                f"{found.work:8.1f} ({found.stages['serving']:.1f}) {rows / found.work:10,.0f} "
                f"{each:8.1f} {found.cpu:8.0f} {found.megabytes:8,.0f}"
            )
            if engine in last:
                line += f"   {each / last[engine]:.2f} times the time a row"
                line += "  MISSED: grows" if each > GROWN * last[engine] else ""
            last[engine] = each
            print(line, flush=True)


def compare_jobs(project: Path, raw: Path, options: argparse.Namespace) -> None:
    """Run the whole job on pandas and on Sail, in turns."""
    found: dict[str, list[Run]] = {"pandas": [], "sail": []}
    for _ in range(options.runs):
        for engine, runs in found.items():
            runs.append(run(project, raw, engine, options))
    print(f"\nthe whole job on {options.main:,} rows, median of {options.runs} runs, seconds")
    for engine, runs in found.items():
        if failure := next((one.failure for one in runs if one.failure), ""):
            print(f"  {engine:7}FAILED: {failure}")
            return
        print(f"  {engine:7}{statistics.median(one.seconds for one in runs):.1f} in all")
        for stage in runs[0].stages:
            print(f"    {stage:28}{statistics.median(one.stages[stage] for one in runs):7.2f}")
    ratio = statistics.median(
        sail.seconds / base.seconds
        for base, sail in zip(found["pandas"], found["sail"], strict=True)
    )
    verdict = "met" if ratio <= AIM_RATIO else "MISSED"
    print(f"Sail takes {ratio:.2f} times the time of pandas (aim at most {AIM_RATIO}): {verdict}")
    cold = statistics.median(
        sail.start - base.start for base, sail in zip(found["pandas"], found["sail"], strict=True)
    )
    verdict = "met" if cold <= AIM_COLD_SECONDS else "MISSED"
    print(f"its first node starts {cold:.1f} s later (aim at most {AIM_COLD_SECONDS} s): {verdict}")


def make_champion(project: Path) -> None:
    """Train a model and register it under its names in lakehouses."""
    subprocess.run(
        [sys.executable, str(HERE / "kedro_job.py"), str(project)],
        cwd=project,
        env=_environment(),
        check=True,
        capture_output=True,
    )
    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    for catalog in MODELS.values():
        name = f"{catalog}.marvel_characters.marvel_characters"
        copied = client.copy_model_version("models:/marvel_characters/1", name)
        client.set_registered_model_alias(name, "champion", copied.version)


def run(project: Path, raw: Path, engine: str, options: argparse.Namespace, *pipelines: str) -> Run:
    """Run pipelines in a process of its own and delete its tables."""
    (project / RAW).unlink(missing_ok=True)
    (project / RAW).symlink_to(raw.absolute())
    output = project / "output.txt"
    begin = time.perf_counter()
    with output.open("w") as file:
        process = subprocess.Popen(
            [
                sys.executable,
                *(str(HERE / "kedro_job.py"), str(project), ENGINES[engine]),
                *pipelines,
            ],
            cwd=project,
            env=_environment() | {"MARVEL_ENGINE": "spark" if engine == "spark" else "sail"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        peak, cpu, failure = watch(process, options.megabytes, 60 * options.minutes)
    seconds = time.perf_counter() - begin
    shutil.rmtree(project / "data" / "warehouse", ignore_errors=True)
    lines = output.read_text().splitlines()
    if process.returncode and not failure:
        failure = f"status {process.returncode}: {' '.join(lines[-1:])[:300]}"
    stages = {} if failure else json.loads(lines[-1])["seconds"]
    return Run(seconds, cpu, peak, stages, failure)


def watch(
    process: "subprocess.Popen[bytes]", limit: float, seconds: float
) -> tuple[float, float, str]:
    """Wait for a process; kill it with its children when they exceed a limit.

    Returns:
        The peak of their resident megabytes, their processor seconds, and why the process was
        killed (empty if it was not).
    """
    peak, end = 0.0, time.monotonic() + seconds
    cpu: dict[int, float] = {}
    first = psutil.Process(process.pid)
    while process.poll() is None:
        family = [first, *_children(first)]
        found = 0.0
        for one in family:
            with suppress(psutil.NoSuchProcess):
                found += _own_megabytes(one)
                cpu[one.pid] = sum(one.cpu_times()[:2])
        peak = max(peak, found)
        late = time.monotonic() > end
        if found > limit or late:
            for one in reversed(family):
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            process.wait()
            return peak, sum(cpu.values()), f"{seconds:,.0f} s" if late else f"{found:,.0f} MB"
        time.sleep(INTERVAL)
    return peak, sum(cpu.values()), ""


def _own_megabytes(process: psutil.Process) -> float:
    """Return resident megabytes; pages that processes share count once (Spark forks workers)."""
    if sys.platform == "linux":
        return float(process.memory_full_info().pss) / 1e6
    return float(process.memory_info().rss) / 1e6


def _children(process: psutil.Process) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return process.children(recursive=True)
    return []


def _environment() -> dict[str, str]:
    unwanted = ("MLFLOW_", "KEDRO_", "MARVEL_", "SPARK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}


if __name__ == "__main__":
    main()
