"""Checks of a run's options and inputs, made before its first node."""

from collections.abc import Mapping
from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from marvel_kedro.core.errors import ProjectError

_FROM_ENDPOINT = "The endpoint writes it: kedro serve, and send it requests."
_SOURCES = {
    "inference_payload": _FROM_ENDPOINT,
    "served_entities": _FROM_ENDPOINT,
    "inference_log": "Monitoring makes it from what the endpoint writes: "
    "kedro run --pipelines monitoring.",
    "labels": "Bring a table with page_id, alive (Alive or Dead) and labelled_at, one row a page; "
    "without rows the entities are compared by traffic, errors and latency. See docs/ab-test.md.",
    "retrain": "The pipeline monitoring decides: kedro run --pipelines monitoring.",
}
"""Where inputs come from that the main job does not make."""


def check_options(options: dict[str, Any]) -> None:
    """Raise a `ProjectError` for options that would spread one run over several MLflow runs.

    MLflow's active run belongs to one thread: datasets that Kedro saves in another thread would go
    to a run of their own. The datasets of kedro-mlflow cannot be passed to other processes.
    """
    if options.get("is_async") or (options.get("runner_params") or {}).get("is_async"):
        raise ProjectError("--async would spread a run over many MLflow runs: leave it out.")
    if str(options.get("runner")).endswith("ParallelRunner"):
        raise ProjectError(
            "ParallelRunner cannot pass the datasets of kedro-mlflow to other processes: "
            "leave --runner out."
        )


def check_threads(runner: str, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
    """Refuse threads, of a runner given by its name or text, for tables that DuckDB reads.

    narwhals joins on DuckDB's one default connection, which serves a call at a time.

    Raises:
        ProjectError: It names the first such table.
    """
    if "ThreadRunner" not in runner:
        return
    from marvel_kedro.datasets.delta_folder import DeltaFolderDataset  # noqa: PLC0415 - slow

    for name in sorted(pipeline.datasets()):
        if isinstance(catalog.get(name), DeltaFolderDataset):
            raise ProjectError(
                f"ThreadRunner cannot read {name}: DuckDB's connection serves one thread at a "
                "time, with every core. Leave --runner out."
            )


def main_job_nodes(inputs: set[str], pipelines: Mapping[str, Pipeline]) -> dict[str, str]:
    """Return the nodes of the main job by the dataset that they make.

    Once all of `inputs` are found, the remaining pipelines are not imported; training, whose
    libraries take longest, comes last.
    """
    wanted = {name for name in inputs if not name.startswith("params:")}
    made: dict[str, str] = {}
    for name in ("processing", "serving", "training"):
        if wanted - _SOURCES.keys() - {"champion"} <= made.keys():
            break
        made |= {output: node.name for node in pipelines[name].nodes for output in node.outputs}
    return made


def check_inputs(
    pipeline: Pipeline,
    catalog: CatalogProtocol[Any, Any],
    pipelines: Mapping[str, Pipeline],
    *,
    only_missing_outputs: bool,
) -> None:
    """Refuse a pipeline, perhaps a part of one of `pipelines`, that lacks an input.

    Raises:
        ProjectError: It names the missing inputs, and the nodes or the command that make them.
    """
    if only_missing_outputs and "logged_candidate" in pipeline.all_outputs():
        raise ProjectError(
            "--only-missing-outputs cannot complete a training: its model, metrics and decision "
            "belong to one run. Leave the option out."
        )
    for name in sorted(pipeline.inputs() & _SOURCES.keys()):
        if not catalog.exists(name):
            path = getattr(catalog.get(name), "_filepath", None)
            where = f" ({path})" if path else ""
            raise ProjectError(f"{name} is not there{where}. {_SOURCES[name]}")
    makers = main_job_nodes(pipeline.inputs(), pipelines)
    made = sorted(pipeline.inputs() & makers.keys() - {"champion"})  # which has its own message
    if missing := [name for name in made if not catalog.exists(name)]:
        nodes = sorted({makers[name] for name in missing})
        raise ProjectError(
            f"{', '.join(missing)}: not there, or only in memory during a run. Run the whole "
            f"pipeline, or start where it is made: kedro run --from-nodes {','.join(nodes)}"
        )
