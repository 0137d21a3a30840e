"""Checks of a run's options and inputs, made before its first node."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from kedro.io import CatalogProtocol, SharedMemoryDataCatalog
from kedro.pipeline import Pipeline

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table.description import TableSpec

_FROM_ENDPOINT = "The endpoint writes it: kedro serve, and send it requests."
_SOURCES = {
    "inference_payload": _FROM_ENDPOINT,
    "served_entities": _FROM_ENDPOINT,
    "inference_log": "Monitoring makes it from what the endpoint writes: "
    "kedro run --pipelines monitoring.",
    "labels": "Bring a table with {table.key}, {table.target.column} ({classes}) and labelled_at; "
    "without rows the entities are compared by traffic, errors and latency. See docs/ab-test.md.",
    "retrain": "The pipeline monitoring decides: kedro run --pipelines monitoring.",
}
"""Where inputs come from that the main job does not make, in words of the table."""


class OneRun:
    """Let one thread of this process run pipelines at a time.

    Hooks, kedro-mlflow and MLflow keep the state of the run in the process: metrics of a second run
    would go to the first. A thread that has ended, or that starts another run after Ctrl-C, runs
    nothing any more.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def checked(self) -> Iterator[None]:
        """Raise a `ProjectError` if another thread runs pipelines; let none begin meanwhile."""
        with self._lock:
            other = self._thread
            if other and other is not threading.current_thread() and other.is_alive():
                raise ProjectError(
                    "A run is in progress in this process, and MLflow would mix the two up. Start "
                    "this one again when that has ended, or in a process of its own."
                )
            yield

    def begin(self) -> None:
        """Note that this thread runs pipelines."""
        self._thread = threading.current_thread()

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Note at the end, also that of an error, that this thread runs nothing any more."""
        try:
            yield
        finally:
            self._thread = None


def check_options(options: dict[str, Any]) -> None:
    """Refuse an option of `kedro run` that only nodes receive, before anything runs."""
    runner = options.get("runner_params") or {}
    check_async(is_async=bool(options.get("is_async") or runner.get("is_async")))


def check_async(*, is_async: bool) -> None:
    """Refuse to load and save in threads.

    MLflow's active run belongs to one thread: datasets that Kedro saves in another thread would go
    to a run of their own.

    Raises:
        ProjectError: It names the option.
    """
    if is_async:
        raise ProjectError(
            "--async (is_async) would spread a run over many MLflow runs: leave it out."
        )


def check_runner(catalog: CatalogProtocol[Any, Any]) -> None:
    """Refuse a runner that uses processes, for which Kedro makes a catalog in shared memory.

    Raises:
        ProjectError: It names a runner that works.
    """
    if isinstance(catalog, SharedMemoryDataCatalog):
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
    table: TableSpec,
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
            classes = " or ".join(table.target.classes)
            source = _SOURCES[name].format(table=table, classes=classes)
            raise ProjectError(f"{name} is not there{where}. {source}")
    makers = main_job_nodes(pipeline.inputs(), pipelines)
    made = sorted(pipeline.inputs() & makers.keys() - {"champion"})  # which has its own message
    if missing := [name for name in made if not catalog.exists(name)]:
        nodes = sorted({makers[name] for name in missing})
        raise ProjectError(
            f"{', '.join(missing)}: not there, or only in memory during a run. Run the whole "
            f"pipeline, or start where it is made: kedro run --from-nodes {','.join(nodes)}"
        )
