"""Run the main job in forks of this process and kill each at another point.

Usage: python kill_points.py PROJECT SHARD SHARDS [ENVIRONMENT PIPELINE]. Prints one line a point:
its name and whether the kill came there. Forks, because the imports take longer than the run.
A point at which the disk is as at the one before is left out: it would be the same kill.
"""

import json
import os
import signal
import sys
import traceback
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
    """Calls a function at every point of a run: a node is done, a dataset is saved."""

    def __init__(self, reached: Any) -> None:
        self._reached = reached

    @hook_impl
    def after_node_run(self, node: Any) -> None:
        self._reached(f"after {node.name}")

    @hook_impl
    def after_dataset_saved(self, dataset_name: str) -> None:
        self._reached(f"saved {dataset_name}")


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

    points_file = project / POINTS

    last: Files = {}

    def note(point: str) -> None:
        nonlocal last
        now = files(project)
        if now != last:
            with points_file.open("a") as file:
                file.write(json.dumps(point) + "\n")
        last = now

    if in_fork(project, note) != 0:
        sys.exit("the run that nobody disturbs failed")
    shard, shards = map(int, sys.argv[2:4])
    points = [json.loads(line) for line in points_file.read_text().splitlines()][shard::shards]
    points_file.unlink()
    print(json.dumps({"undisturbed": points}), flush=True)
    sys.stdin.readline()  # the test brings what is new
    for point in points:

        def die(reached: str, here: str = point) -> None:
            if reached == here:
                os.kill(os.getpid(), signal.SIGKILL)

        status = in_fork(project, die)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"point": point, "killed": killed}), flush=True)
        sys.stdin.readline()  # the test looks at the project before the next kill
    print(json.dumps({"last": in_fork(project, lambda _: None)}), flush=True)


if __name__ == "__main__":
    main()
