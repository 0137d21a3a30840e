"""Compare the start-up time with that of an empty Kedro project with the same plugins.

Two times are taken, in processes of their own and in turns, so that a busy machine slows both:

- `kedro registry list`, from start to end;
- `kedro run --pipelines serving`, from start to the moment when the first node begins: Kedro logs
  that it loads the first input.

The empty project has one pipeline of one node and tracks its run in a SQLite store, as this project
does. Its times are those of Kedro, kedro-mlflow and MLflow alone.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import machine
from arguments import parse
from main_job import make_project, make_raw

AIM_SECONDS = 1.0
BEGINNING = "Loading data from"
COMMANDS = {
    "kedro registry list": ["registry", "list"],
    "kedro run --pipelines serving": ["run", "--pipelines", "serving"],
}
EMPTY_PROJECT = {
    "pyproject.toml": """\
        [tool.kedro]
        package_name = "empty"
        project_name = "empty"
        kedro_init_version = "1.7.0"
        source_dir = "src"
        """,
    "src/empty/__init__.py": "",
    "src/empty/settings.py": """\
        DISABLE_HOOKS_FOR_PLUGINS = ("kedro-telemetry",)
        """,
    "src/empty/pipeline_registry.py": """\
        from kedro.pipeline import Pipeline, node

        def upper(text):
            return text.upper()

        def register_pipelines():
            serving = Pipeline([node(upper, "params:text", "upper")])
            return {"serving": serving, "__default__": serving}
        """,
    "conf/base/parameters.yml": "text: a",
    "conf/base/catalog.yml": "upper: {type: MemoryDataset}",
    "conf/base/mlflow.yml": """\
        server: {mlflow_tracking_uri: "sqlite:///mlflow.db"}
        """,
    "conf/local/.gitkeep": "",
}
LOGGING = """\
version: 1
handlers: {out: {class: logging.StreamHandler, stream: ext://sys.stdout}}
loggers: {kedro: {level: INFO}}
root: {level: WARNING, handlers: [out]}
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5000, help="rows of the raw file")
    parser.add_argument("--runs", type=int, default=9)
    options = parse(parser, rows=3000, runs=1)
    print(machine.describe("kedro-mlflow"))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        project = make_project(folder / "project", make_raw(folder, options.rows))
        empty = make_empty_project(folder / "empty")
        environment = clean_environment(folder)
        seconds_until(project, ["run"], environment, None)
        for name, arguments in COMMANDS.items():
            begins = BEGINNING if arguments[0] == "run" else None
            times = [
                [seconds_until(where, arguments, environment, begins) for where in (project, empty)]
                for _ in range(options.runs + 1)
            ]
            report(name, begins, times[1:])  # the first round compiles modules and makes a store


def report(name: str, begins: str | None, times: list[list[float]]) -> None:
    """Print the medians of a command in both projects, and their difference."""
    ours, theirs = (statistics.median(column) for column in zip(*times, strict=True))
    extra = statistics.median(here - there for here, there in times)
    verdict = "met" if extra <= AIM_SECONDS else "MISSED"
    until = "until the first node begins" if begins else "whole"
    print(
        f"\n{name}, {until}, median of {len(times)} runs\n"
        f"  this project   {ours:6.2f} s\n"
        f"  empty project  {theirs:6.2f} s\n"
        f"  difference     {extra:6.2f} s (aim at most {AIM_SECONDS} s): {verdict}",
        flush=True,
    )


def seconds_until(
    project: Path, arguments: list[str], environment: dict[str, str], line: str | None
) -> float:
    """Run a command in a project to its end; return the seconds until it prints a line, or ends."""
    begin = time.perf_counter()
    reached = None
    printed = []
    with subprocess.Popen(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        for text in process.stdout:
            printed.append(text)
            if reached is None and line and line in text:
                reached = time.perf_counter() - begin
    if process.returncode or (line and reached is None):
        sys.exit("".join(printed))
    return reached or time.perf_counter() - begin


def make_empty_project(folder: Path) -> Path:
    """Write a project with one pipeline of one node."""
    for name, text in EMPTY_PROJECT.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), "utf-8")
    return folder


def clean_environment(folder: Path) -> dict[str, str]:
    """Return this process's environment without settings, and with a log that shows inputs."""
    log = folder / "logging.yml"
    log.write_text(LOGGING, "utf-8")
    own = {
        k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "KEDRO_", "MARVEL_"))
    }
    return own | {
        "KEDRO_LOGGING_CONFIG": str(log),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONUNBUFFERED": "1",
    }


if __name__ == "__main__":
    main()
