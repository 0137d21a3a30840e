"""Run every script of `benchmarks/` at its smallest size."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import ROOT, clean_environment, missing

FOLDER = ROOT / "benchmarks"
SCRIPTS = sorted(path.stem for path in FOLDER.glob("*.py") if "ArgumentParser(" in path.read_text())
TABLES = {
    "any_table": ("breast_cancer", "LightGBM"),
    "drift_power": ("false alarms in", "covariate", "Evidently was skipped"),
    "main_job": ("plain script, first", "kedro run, first", "times the rows"),
    "model_quality": ("marvel_kedro", "logistic regression", "Folds that the recipe won"),
    "monitoring": ("this project", "Evidently was skipped", "the pipeline monitoring"),
    "scale": ("pandas", "sail", "its first node starts"),
    "serving": ("this server", "mlflow models serve", "megabytes a worker", "features and trees"),
    "start": ("kedro registry list, whole", "until the first node begins", "empty project"),
}
"""Words of the last lines and tables of each script's output."""


def test_make_bench_runs_every_benchmark() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert set(TABLES) <= set(SCRIPTS)
    assert [name for name in SCRIPTS if f"python benchmarks/{name}.py" not in makefile] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", SCRIPTS)
def test_benchmark_prints_its_tables_at_the_smallest_size(name: str, tmp_path: Path) -> None:
    if name == "serving" and shutil.which("wrk") is None:
        missing("benchmarks/serving.py requires wrk: apt-get install wrk")
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{name}.py"), "--small"],
        cwd=tmp_path,
        env=clean_environment() | {"OMP_NUM_THREADS": "1", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    first = done.stdout.splitlines()[:2]
    assert f"{os.cpu_count()} cores" in first[0]
    assert first[1].startswith("Python")
    assert "FAILED" not in done.stdout
    for words in TABLES.get(name, ()):
        assert words in done.stdout
