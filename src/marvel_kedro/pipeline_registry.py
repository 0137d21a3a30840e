"""The pipelines by name, each imported when it is first used."""

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from kedro.pipeline import Pipeline


class LazyPipeline(Pipeline):
    """A pipeline whose nodes are imported on first use.

    Every Kedro command reads the whole registry. Its nodes import LightGBM, scikit-learn and
    matplotlib, but `kedro registry list` needs only names, and a run only the pipelines it runs.
    """

    def __init__(self, create: Callable[[], Pipeline]) -> None:  # the base class needs the nodes
        self._create = create

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a pipeline
        """Create the pipeline. Python calls this only for an attribute that is not set yet."""
        if name.startswith("__") or "_create" not in vars(self):  # `copy` looks for dunder methods
            raise AttributeError(name)
        vars(self).update(vars(vars(self).pop("_create")()))
        return getattr(self, name)


def register_pipelines() -> dict[str, Pipeline]:
    """Register every pipeline; `kedro run` runs `__default__`."""
    names = ["synthetic", "processing", "training", "serving", "ab_test"]
    names += ["alerting", "reporting", "exporting", "retraining"]
    named: dict[str, Pipeline] = {name: LazyPipeline(partial(_create, name)) for name in names}
    named["monitoring"] = LazyPipeline(
        lambda: _create("monitoring") + named["alerting"] + named["reporting"] + named["exporting"]
    )
    named["__default__"] = LazyPipeline(
        lambda: named["processing"] + named["training"] + named["serving"]
    )
    return named


def _create(name: str) -> Pipeline:
    return importlib.import_module(f"marvel_kedro.pipelines.{name}.pipeline").create_pipeline()
