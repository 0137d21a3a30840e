"""Hooks around a run: checks before it, tags on it, the summary after it."""

import logging
from collections.abc import Generator
from typing import Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol, DatasetError
from kedro.pipeline import Node, Pipeline
from kedro.runner import SequentialRunner
from omegaconf import OmegaConf

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import tracking
from marvel_kedro.project import run_checks

logger = logging.getLogger(__name__)
_WOULD_OVERWRITE = (
    "The pipeline `synthetic` would overwrite the raw file (raw_characters), which {}. "
    "Move it away first."
)


class ProjectHooks:
    """Check the inputs of a run, tag its MLflow run and print its summary."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Check the parameters and find the MLflow store, before kedro-mlflow connects to it."""
        from kedro_mlflow.framework.hooks.mlflow_hook import mlflow_hook  # noqa: PLC0415 - slow

        from marvel_kedro.project import parameters  # noqa: PLC0415 - slow

        # The id outlives a session: an untracked pipeline would log into the previous run.
        mlflow_hook.run_id = None

        # MLflow sets its own level when it is imported, after conf/logging.yml was read.
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        store = tracking.find_store(context.project_path)
        self._origin = tracking.origin_tags(context.project_path)
        OmegaConf.register_resolver("mlflow_store", lambda key: getattr(store, key), replace=True)
        OmegaConf.register_resolver("origin", lambda: self._origin, replace=True)
        self._synthetic = parameters.check(context.config_loader["parameters"]).synthetic
        server = context.config_loader["mlflow"].get("server", {})
        uri = server.get("mlflow_tracking_uri") or store.uri
        tracking.check_reachable(uri)
        tracking.make_store(uri)

    @hook_impl(tryfirst=True, specname="before_pipeline_run")
    def check_inputs(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Refuse a run that lacks an input, before an MLflow run is opened for it."""
        run_checks.check_threads(run_params["runner"], pipeline, catalog)
        only_missing = run_params["only_missing_outputs"]
        run_checks.check_inputs(pipeline, catalog, pipelines, only_missing_outputs=only_missing)

    @hook_impl(tryfirst=True, specname="before_pipeline_run")
    def keep_real_raw_file(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Refuse to overwrite a raw file that is not synthetic."""
        if "raw_characters" not in pipeline.all_outputs() or not catalog.exists("raw_characters"):
            return
        from marvel_kedro.characters.synthetic import is_synthetic  # noqa: PLC0415 - slow

        dataset: Any = catalog.get("raw_characters")
        try:
            if hasattr(dataset, "preview"):  # one row is enough; the file may exceed the memory
                raw = pd.DataFrame(**dataset.preview(nrows=1))
            else:
                raw = catalog.load("raw_characters")
        except DatasetError as error:
            raise ProjectError(_WOULD_OVERWRITE.format("cannot be read")) from error
        if len(raw) and ("URL" not in raw or not is_synthetic(raw["URL"])):
            raise ProjectError(_WOULD_OVERWRITE.format("is not synthetic"))

    @hook_impl(tryfirst=True, specname="before_pipeline_run")
    def make_missing_raw_file(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]
    ) -> None:
        """Generate a synthetic raw file for `kedro run` if there is none."""
        asked = set(run_params["pipeline_names"] or []) <= {"__default__"}
        if not asked or not self._synthetic.stand_in or "raw_characters" not in pipeline.inputs():
            return
        if catalog.exists("raw_characters"):
            return
        logger.warning(
            "There is no raw file: generating a synthetic one of %s rows. "
            "docs/pipelines.md says where to get the real one.",
            f"{self._synthetic.rows:,}",
        )
        SequentialRunner().run(pipelines["synthetic"], catalog)

    @hook_impl(trylast=True, specname="before_pipeline_run")
    def tag_run(self) -> None:
        """Tag the run that kedro-mlflow has started, and close runs that were killed."""
        import mlflow  # noqa: PLC0415 - slow to import

        if (run := mlflow.active_run()) is None:
            return
        # Left by an earlier session in this process: metrics would be linked to its model.
        mlflow.clear_active_model()
        tracking.close_killed_runs(mlflow.MlflowClient(), run.info.experiment_id)
        mlflow.set_tags(tracking.process_tags() | self._origin)

    @hook_impl(tryfirst=True, specname="before_pipeline_run")
    def count_nodes(self, pipeline: Pipeline) -> None:
        """Count the nodes of the run."""
        self._total, self._started = len(pipeline.nodes), 0

    @hook_impl(specname="before_node_run")
    def log_node(self, node: Node) -> None:
        """Log the node's name and its number."""
        self._started += 1
        logger.info("%2d of %d  %s", self._started, self._total, node.name)

    @hook_impl(wrapper=True)
    def before_node_run(self, inputs: dict[str, Any]) -> Generator[None, Any, Any]:
        """Pass typed parameters to kedro-mlflow as dictionaries, so that it logs each value."""
        typed = dict(inputs)
        inputs.update({name: tracking.plain(value) for name, value in typed.items()})
        try:
            return (yield)
        finally:
            inputs.update(typed)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol[Any, Any]) -> None:
        """Print the results and the next steps."""
        from marvel_kedro.project import summary  # noqa: PLC0415 - rich and narwhals

        summary.show(pipeline, catalog)
