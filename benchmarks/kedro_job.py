"""Run `kedro run` with a stopwatch in its hooks.

Usage: python kedro_job.py PROJECT [ENVIRONMENT [PIPELINE ..]]. Prints the time and the peak memory
of each stage.
"""

from stages import Stages

watch = Stages()

import sys  # noqa: E402 - what follows is the stage of the imports
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import mlflow  # noqa: E402
import mlflow.store.model_registry.sqlalchemy_store  # noqa: E402
import mlflow.store.tracking.sqlalchemy_store  # noqa: E402, F401
from kedro.framework.hooks import hook_impl  # noqa: E402
from kedro.framework.session import KedroSession  # noqa: E402
from kedro.framework.startup import bootstrap_project  # noqa: E402

STAGES = {"fit_model": "fit_model", "score_records": "serving"}


class Stopwatch:
    """Adds the time between events to the stage of the node."""

    @hook_impl(trylast=True)
    def before_pipeline_run(self) -> None:
        """End the start of the run; the session of an engine, if there is one, has started."""
        watch.lap("start of the run")

    @hook_impl
    def before_node_run(self, node: Any) -> None:  # noqa: ANN401 - Kedro's node
        """End the loading of the inputs."""
        watch.lap(_stage(node))

    @hook_impl
    def after_dataset_saved(self, node: Any) -> None:  # noqa: ANN401 - Kedro's node
        """End the saving of an output."""
        watch.lap(_stage(node))


def _stage(node: Any) -> str:  # noqa: ANN401 - Kedro's node
    if "processing" in node.tags:
        return "processing"
    if "monitoring" in node.tags:
        return str(node.name)
    return STAGES.get(node.name, "evaluation, gate, card")


def main(project: Path, environment: str | None = None, *pipelines: str) -> None:
    """Run the job."""
    watch.lap("imports of Kedro and MLflow")
    bootstrap_project(project)
    session: Any
    with KedroSession.create(project, env=environment) as session:
        session._hook_manager.register(Stopwatch())  # noqa: SLF001 - no public way
        context = session.load_context()
        _ = context.catalog
        watch.lap("own imports and store")
        session.run(pipeline_names=list(pipelines) or None)
    watch.lap("summary")
    watch.print()


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
