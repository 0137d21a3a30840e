"""Run the main job in forks of this process and kill each at another point.

Usage: python kill_points.py PROJECT SHARD SHARDS [ENVIRONMENT PIPELINE]. Runs once to the end, and
once more after the test has brought new input; the second run is undone. A point is left out if
nothing on the disk has changed since the one before in both runs: a kill there would be the same
kill. Prints a line for each point: its name and whether the kill happened there. Forks, since
imports take longer than runs; what the first run has imported, this process imports for the others.
"""

import importlib
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

POINTS = "points.jsonl"
PARAMETERS = {
    # Every different candidate is promoted, so that kills fall into a promotion.
    "training": {
        "gate": {
            "min_constant_gain": -10.0,
            "min_regression_gain": -10.0,
            "max_ece_share": 10.0,
            "min_gain": -10.0,
            "min_slice_gain": -10.0,
        }
    },
    "serving": {"scored_at": "2026-01-01T00:00:00+00:00"},
    "monitoring": {"now": "2026-01-20T00:00:00+00:00"},
}


class Points:
    """Calls a function at every point of a run: a node has run, a dataset is saved.

    A dataset that is saved in parts reaches its point several times; each has its own name.
    """

    def __init__(self, reached: Any) -> None:
        self._reached = reached
        self._times: Counter[str] = Counter()

    @hook_impl
    def after_node_run(self, node: Any) -> None:
        self._at(f"after {node.name}")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        self._at(f"saved {dataset_name}")

    def _at(self, name: str) -> None:
        self._times[name] += 1
        self._reached(f"{name}, {self._times[name]}")


def run(project: Path, reached: Any) -> None:
    env, pipelines = (sys.argv[4], sys.argv[5:]) if sys.argv[4:] else (None, None)
    session: Any
    with KedroSession.create(project, env=env, runtime_params=PARAMETERS) as session:
        session._hook_manager.register(Points(reached))
        session.run(pipeline_names=pipelines)


Files = dict[str, tuple[int, int]]


def files(project: Path) -> Files:
    """Return sizes and times of all files, such as `.db-wal`."""
    found: Files = {}
    for folder, _, names in os.walk(project):
        for name in names:
            if name != POINTS:
                seen = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - quicker
                found[f"{folder}/{name}"] = (seen.st_size, seen.st_mtime_ns)
    return found


def in_fork(project: Path, reached: Any) -> int:
    """Run in a fork; return its wait status."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            run(project, reached)
            status = 0
        except BaseException:  # noqa: BLE001 - a fork must never continue
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def undisturbed(project: Path) -> list[tuple[str, bool]]:
    """Run to the end; return for each point whether the disk has changed since the one before."""
    last: Files = {}
    known = set(sys.modules)

    def note(point: str) -> None:
        nonlocal last
        now, new = files(project), sys.modules.keys() - known
        known.update(new)
        with (project / POINTS).open("a") as file:
            file.write(json.dumps((point, now != last, sorted(new))) + "\n")
        last = now

    if in_fork(project, note) != 0:
        sys.exit("the undisturbed run failed")
    lines = [json.loads(line) for line in (project / POINTS).read_text().splitlines()]
    (project / POINTS).unlink()
    for name in (name for _, _, new in lines for name in new):
        with suppress(ImportError):  # of names that no file has
            importlib.import_module(name)
    return [(point, changed) for point, changed, _ in lines]


def restore(before: Path, project: Path) -> None:
    """Restore a folder; overwrite existing files in place, since processes may have them open."""
    for name in files(project):
        if not (before / Path(name).relative_to(project)).exists():
            Path(name).unlink()
    shutil.copytree(before, project, dirs_exist_ok=True)


def send(**message: Any) -> None:
    """Send a message to the test, and wait until it has answered."""
    print(json.dumps(message), flush=True)
    sys.stdin.readline()


def main() -> None:
    project = Path(sys.argv[1])
    bootstrap_project(project)
    first = undisturbed(project)
    send(undisturbed=True)  # the test brings new input
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(project, Path(folder, "before"))
        second = undisturbed(project)
        restore(Path(folder, "before"), project)
    shard, shards = map(int, sys.argv[2:4])
    changing = {point for point, changed in [*first, *second] if changed}
    points = [point for point, _ in second if point in changing][shard::shards]
    send(points=points, of=len(second))
    for point in points:

        def die(reached: str, here: str = point) -> None:
            if reached == here:
                os.kill(os.getpid(), signal.SIGKILL)

        status = in_fork(project, die)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        send(point=point, killed=killed)  # the test checks the project before the next kill
    print(json.dumps({"last": in_fork(project, lambda _: None)}), flush=True)


if __name__ == "__main__":
    main()
