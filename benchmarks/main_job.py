"""Compare the main job with a plain script that does the same work without Kedro and MLflow.

Both run in processes of their own, in turns, on the same synthetic rows; then the job alone runs on
more and more rows. The run `first` has no champion to compare with and, for Kedro, no MLflow store.
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
from pathlib import Path
from typing import Any

import machine
from arguments import parse

from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.simulation.world import SyntheticOptions

ROOT = Path(__file__).parents[1]
HERE = Path(__file__).parent
RAW = Path("data", "01_raw", "marvel_characters_dataset.csv")
START = ("imports of Kedro and MLflow", "own imports and store", "start of the run")
AIM_RATIO = 1.3
AIM_MEGABYTES = 1500


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=96_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--growth", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    options = parse(parser, rows=3000, runs=1, growth=[3000, 6000])
    print(machine.describe())
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compare_with_plain(folder, options.rows, options.runs)
        growth(folder, options.growth)


def compare_with_plain(folder: Path, rows: int, runs: int) -> None:
    """Compare the medians of totals and stages."""
    imports = statistics.median(import_seconds() for _ in range(runs))
    raw = make_raw(folder, rows)
    project = make_project(folder / "project", raw)
    script = folder / "plain"
    script.mkdir()
    firsts = run(script, "plain_job.py", raw, script), run(project, "kedro_job.py", project)
    plain, job = [], []
    for _ in range(runs):
        plain.append(run(script, "plain_job.py", raw, script))
        job.append(run(project, "kedro_job.py", project))
    print(f"\n{rows:,} rows, median of {runs} runs: seconds (peak megabytes when it ended)")
    print(f"  imports of Kedro and MLflow alone: {imports:.2f}")
    for name, found in (
        ("plain script", plain),
        ("kedro run", job),
        ("plain script, first", [firsts[0]]),
        ("kedro run, first", [firsts[1]]),
    ):
        stages = {stage: median(found, "seconds", stage) for stage in found[0]["seconds"]}
        print(f"  {name}: {statistics.median(one['total'] for one in found):.2f} in all")
        for stage, seconds in stages.items():
            print(f"    {stage:28}{seconds:7.2f}  ({median(found, 'megabytes', stage):,.0f})")
    for name, ours, theirs in (("kedro run", job, plain), ("first", firsts[1:], firsts[:1])):
        total = statistics.median(one["total"] for one in ours)
        peer = statistics.median(one["total"] for one in theirs)
        allowed = AIM_RATIO * peer + imports
        verdict = "met" if total <= allowed else "MISSED"
        print(
            f"{name}: {total:.2f} s, {total / peer:.2f} times the plain script; without the "
            f"imports {(total - imports) / peer:.2f} times "
            f"(aim {AIM_RATIO} x {peer:.2f} + {imports:.2f} = {allowed:.2f} s): {verdict}"
        )
    peak = max(max(one["megabytes"].values()) for one in [firsts[1], *job])
    verdict = "met" if peak < AIM_MEGABYTES else "MISSED"
    print(f"peak memory {peak:,.0f} MB (aim under {AIM_MEGABYTES:,} MB): {verdict}")


def growth(folder: Path, sizes: list[int]) -> None:
    """Run the job on more and more rows."""
    print("\nrows, seconds without imports and store, microseconds a row, peak megabytes")
    last = None
    for rows in sizes:
        project = make_project(folder / f"growth{rows}", make_raw(folder, rows))
        found = run(project, "kedro_job.py", project)
        seconds = sum(value for stage, value in found["seconds"].items() if stage not in START)
        line = f"  {rows:>9,} {seconds:8.2f} {1e6 * seconds / rows:8.1f} "
        line += f"{max(found['megabytes'].values()):8,.0f}"
        if last:
            times_rows, times_seconds = rows / last[0], seconds / last[1]
            line += f"   {times_rows:.1f} times the rows, {times_seconds:.1f} times the time"
            line += "" if times_seconds <= times_rows else "  MISSED: grows faster than the rows"
        print(line, flush=True)
        last = rows, seconds
        shutil.rmtree(project)


def median(found: list[dict[str, Any]], figure: str, stage: str) -> float:
    """Return the median of a stage over runs."""
    return float(statistics.median(one[figure][stage] for one in found))


def make_raw(folder: Path, rows: int) -> Path:
    """Write a synthetic raw file."""
    path = folder / f"{rows}.csv"
    if not path.exists():
        RawCSVDataset(filepath=str(path)).save(make_characters(SyntheticOptions(rows=rows)))
    return path


def make_project(folder: Path, raw: Path) -> Path:
    """Copy what Kedro needs of the project, with a raw file."""
    for name in ("conf", "src", "pyproject.toml", ".telemetry"):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / RAW).parent.mkdir(parents=True)
    shutil.copy(raw, folder / RAW)
    return folder


def import_seconds() -> float:
    """Time a process that imports Kedro and MLflow, less one that imports nothing."""
    seconds = []
    for code in ("import kedro_job", "pass"):
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code], cwd=HERE, check=True, stdout=subprocess.DEVNULL
        )
        seconds.append(time.perf_counter() - begin)
    return seconds[0] - seconds[1]


def run(folder: Path, script: str, *arguments: Path) -> dict[str, Any]:
    """Run a script in a folder; return its figures and the wall time of its process."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "KEDRO_"))}
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    total = time.perf_counter() - begin
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured | {"total": total}


if __name__ == "__main__":
    main()
