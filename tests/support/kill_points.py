"""Run the main job in forks of this process and kill each at another point.

Usage: python kill_points.py PROJECT SHARD SHARDS [ENVIRONMENT PIPELINE]. Runs once undisturbed, and
once more with what the test brings then; of that everything is taken back, but for knowing at which
points the disk is as at the one before: these are left out, they would be the same kills. Prints a
line a point: its name and whether the kill came there. Forks, since imports take longer than runs.
"""

import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

POINTS = "points.jsonl"
PARAMETERS = {
    # Every candidate that differs is promoted, so that the kill falls into a promotion.
    "training": {
        "gate": {
            "min_roc_auc": 0.0,
            "max_log_loss": 10.0,
            "max_ece": 1.0,
            "min_gain": -10.0,
            "max_slice_loss": 10.0,
        }
    },
    "serving": {"scored_at": "2026-01-01T00:00:00+00:00"},
    "monitoring": {"now": "2026-01-20T00:00:00+00:00"},
}


class Points:
    """Calls a function at every point of a run: a node is done, a dataset is saved.

    What is saved piece by piece comes to its point several times, each of which has a name.
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
    """What is on the disk, by size and time; `.db-wal` and the like count, too."""
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
        except BaseException:  # noqa: BLE001 - whatever it was, a fork must not go on
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def undisturbed(project: Path) -> list[tuple[str, bool]]:
    """Run to the end; by point whether anything on the disk has changed since the one before."""
    last: Files = {}

    def note(point: str) -> None:
        nonlocal last
        now = files(project)
        with (project / POINTS).open("a") as file:
            file.write(json.dumps((point, now != last)) + "\n")
        last = now

    if in_fork(project, note) != 0:
        sys.exit("the run that nobody disturbs failed")
    lines = (project / POINTS).read_text().splitlines()
    (project / POINTS).unlink()
    return [(point, changed) for point, changed in map(json.loads, lines)]


def restore(before: Path, project: Path) -> None:
    """Have a folder as it was; files stay the same ones for who has them open."""
    for name in files(project):
        if not (before / Path(name).relative_to(project)).exists():
            Path(name).unlink()
    shutil.copytree(before, project, dirs_exist_ok=True)


def say(**said: Any) -> None:
    """Tell the test, and wait until it has done what it wants."""
    print(json.dumps(said), flush=True)
    sys.stdin.readline()


def main() -> None:
    project = Path(sys.argv[1])
    bootstrap_project(project)
    import lightgbm  # noqa: F401 - imported once, before the forks

    if sys.argv[4:] and sys.argv[4] == "lakehouse":
        import deltalake  # noqa: F401
        import kedro_datasets.databricks  # noqa: F401
        import pysail.spark  # noqa: F401
        import pyspark.sql.connect.functions
        import pyspark.sql.connect.session  # noqa: F401

    first = undisturbed(project)
    say(undisturbed=True)  # the test brings what is new
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(project, Path(folder, "before"))
        second = undisturbed(project)
        restore(Path(folder, "before"), project)
    shard, shards = map(int, sys.argv[2:4])
    changing = {point for point, changed in [*first, *second] if changed}
    points = [point for point, _ in second if point in changing][shard::shards]
    say(points=points, of=len(second))
    for point in points:

        def die(reached: str, here: str = point) -> None:
            if reached == here:
                os.kill(os.getpid(), signal.SIGKILL)

        status = in_fork(project, die)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        say(point=point, killed=killed)  # the test looks at the project before the next kill
    print(json.dumps({"last": in_fork(project, lambda _: None)}), flush=True)


if __name__ == "__main__":
    main()
