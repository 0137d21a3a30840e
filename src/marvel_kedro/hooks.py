"""Hooks around a run: checks before it, tags on it, the summary after it."""

import logging
from collections.abc import Generator
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol
from kedro.pipeline import Node, Pipeline
from omegaconf import OmegaConf

from marvel_kedro.core import odd_paths
from marvel_kedro.model import tracking
from marvel_kedro.project import run_checks

logger = logging.getLogger(__name__)


class ProjectHooks:
    """Check the inputs of a run, tag its MLflow run and print its summary."""

    def __init__(self) -> None:
        self._runs = run_checks.OneRun()
        self._run_id: str | None = None

    @hook_impl(wrapper=True, tryfirst=True, specname="after_context_created")
    def refuse_context_beside_run(self) -> Generator[None, Any, Any]:
        """Refuse a session beside a run of another thread, whose MLflow state it would change."""
        with self._runs.checked():
            return (yield)

    @hook_impl(wrapper=True, tryfirst=True, specname="before_pipeline_run")
    def begin_run(self, catalog: CatalogProtocol[Any, Any]) -> Generator[None, Any, Any]:
        """Refuse a second run beside one of another thread, and runners that split a run."""
        run_checks.check_runner(catalog)
        with self._runs.checked():
            answer = yield
            self._runs.begin()
            return answer

    @hook_impl(wrapper=True, specname="after_pipeline_run")
    def end_run(self) -> Generator[None, Any, Any]:
        """Admit the next run after a run that succeeded."""
        with self._runs.ending():
            return (yield)

    @hook_impl(wrapper=True, specname="on_pipeline_error")
    def end_failed_run(self) -> Generator[None, Any, Any]:
        """Admit the next run after a run that failed."""
        with self._runs.ending():
            return (yield)

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the parameters and find the MLflow store, before kedro-mlflow connects to it."""
        import mlflow  # noqa: PLC0415 - slow to import
        from kedro_mlflow.framework.hooks.mlflow_hook import mlflow_hook  # noqa: PLC0415 - slow

        from marvel_kedro.project import parameters  # noqa: PLC0415 - slow

        # The id outlives a session: an untracked pipeline would log into the previous run.
        mlflow_hook.run_id = None
        # So does a run that was interrupted, in a notebook: the next one would log into it.
        if (left := mlflow.active_run()) and left.info.run_id == self._run_id:
            mlflow.end_run("KILLED")

        # MLflow sets its own level when it is imported, after conf/logging.yml was read.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        odd_paths.check_project(context.project_path)
        store = tracking.find_store(context.project_path)
        self._origin = tracking.origin_tags(context.project_path)
        OmegaConf.register_resolver("mlflow_store", lambda key: getattr(store, key), replace=True)
        OmegaConf.register_resolver("origin", lambda: self._origin, replace=True)
        self._model_name = context.config_loader["globals"]["model_name"]
        checked = parameters.check(context.config_loader["parameters"])
        self._synthetic, self._table = checked.synthetic, checked.table
        server = context.config_loader["mlflow"].get("server", {})
        uri = server.get("mlflow_tracking_uri") or store.uri
        tracking.check_reachable(uri)
        tracking.make_store(uri)

    @hook_impl
    def after_catalog_created(self, conf_catalog: dict[str, Any]) -> None:
        """Refuse paths that Kedro misreads."""
        for name, entry in conf_catalog.items():
            odd_paths.check_entry(name, entry)

    @hook_impl(tryfirst=True, specname="before_pipeline_run")
    def check_inputs(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Refuse a run that lacks an input, before an MLflow run is opened for it."""
        run_checks.check_threads(run_params["runner"], pipeline, catalog)
        only_missing = run_params["only_missing_outputs"]
        run_checks.check_inputs(
            pipeline, catalog, pipelines, self._table, only_missing_outputs=only_missing
        )

    @hook_impl(tryfirst=True, specname="before_pipeline_run")
    def prepare_raw_file(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Keep what is real, and generate a raw file for `kedro run` if there is none."""
        from marvel_kedro.project import raw_file  # noqa: PLC0415 - slow

        raw_file.require_file(pipeline, catalog, self._table)
        raw_file.keep_real_file(pipeline, catalog, self._table)
        raw_file.keep_real_tables(pipeline, catalog, self._table, self._model_name)
        is_main_job = set(run_params["pipeline_names"] or []) <= {"__default__"}
        if is_main_job and self._synthetic.stand_in and raw_file.RAW in pipeline.inputs():
            raw_file.make_missing(catalog, pipelines["synthetic"], self._synthetic.rows)

    @hook_impl(trylast=True, specname="before_pipeline_run")
    def tag_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Tag the run that kedro-mlflow has started, and close runs that were killed."""
        import mlflow  # noqa: PLC0415 - slow to import
        from kedro_mlflow.framework.hooks.mlflow_hook import mlflow_hook  # noqa: PLC0415 - slow

        if (run := mlflow.active_run()) is None:
            return
        self._run_id = None if mlflow_hook._already_active_mlflow else run.info.run_id  # noqa: SLF001
        # Left by an earlier session in this process: metrics would be linked to its model.
        mlflow.clear_active_model()
        tracking.close_killed_runs(mlflow.MlflowClient(), run.info.experiment_id)
        tags = tracking.process_tags() | self._origin
        for name in pipeline.inputs():
            if name.startswith("params:"):
                tags |= tracking.clock_tags(name.partition(":")[2], catalog.load(name))
        mlflow.set_tags(tags)

    @hook_impl(tryfirst=True, specname="before_pipeline_run")
    def count_nodes(self, pipeline: Pipeline) -> None:
        """Count the nodes of the run, and forget the parameters that an earlier one has logged."""
        self._total, self._started = len(pipeline.nodes), 0
        self._logged: set[str] = set()

    @hook_impl(specname="before_node_run")
    def log_node(self, node: Node) -> None:
        """Log the node's name and its number."""
        self._started += 1
        logger.info("%2d of %d  %s", self._started, self._total, node.name)

    @hook_impl(wrapper=True)
    def before_node_run(
        self,
        inputs: dict[str, Any],
        is_async: bool,
    ) -> Generator[None, Any, Any]:
        """Pass typed parameters to kedro-mlflow as dictionaries, so that it logs each value.

        It would log a section again, value by value, for every node that has it: 1,130 requests to
        the store in a run of `monitoring` in place of 230.
        """
        run_checks.check_async(is_async=is_async)  # earlier hooks do not get it
        typed = dict(inputs)
        for name, value in typed.items():
            inputs[name] = tracking.plain(value)
            if name in self._logged:
                del inputs[name]
        self._logged |= {name for name in typed if name.startswith("params:")}
        try:
            return (yield)
        finally:
            inputs.update(typed)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Print the results and the next steps."""
        from marvel_kedro.project import summary  # noqa: PLC0415 - rich and narwhals

        summary.show(pipeline, catalog)
