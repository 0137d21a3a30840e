"""What a run needs, checked before its first node."""

from typing import Any

from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline

from marvel_kedro.core.errors import ProjectError

_BY_THE_ENDPOINT = "The endpoint writes it: kedro serve, and send it requests."
_BROUGHT = {
    "inference_payload": _BY_THE_ENDPOINT,
    "served_entities": _BY_THE_ENDPOINT,
    "inference_log": "Monitoring makes it of what the endpoint writes: "
    "kedro run --pipelines monitoring.",
    "labels": "Bring a table with page_id, alive (Alive or Dead) and labelled_at, one row a page; "
    "without rows the entities are compared by traffic, errors and latency. See docs/ab-test.md.",
    "retrain": "The pipeline monitoring decides: kedro run --pipelines monitoring.",
}
"""What the main job does not make, and where it comes from."""


def check_options(options: dict[str, Any]) -> None:
    """Refuse options of `kedro run` that would tear a run apart.

    MLflow's active run belongs to one thread: what Kedro saves in another would go to a run of its
    own. The datasets of kedro-mlflow cannot be handed to other processes.

    Raises:
        ProjectError: It names the option.
    """
    if options.get("is_async") or (options.get("runner_params") or {}).get("is_async"):
        raise ProjectError("--async would scatter a run over many MLflow runs: leave it out.")
    if str(options.get("runner")).endswith("ParallelRunner"):
        raise ProjectError(
            "ParallelRunner cannot hand the datasets of kedro-mlflow to other processes: "
            "leave --runner out, or use ThreadRunner."
        )


def check_inputs(
    pipeline: Pipeline,
    catalog: CatalogProtocol[Any, Any],
    makers: dict[str, str],
    *,
    only_missing_outputs: bool,
) -> None:
    """Refuse a pipeline that starts where something is missing.

    Args:
        pipeline: What is to run, perhaps a part of a pipeline.
        catalog: Where its inputs are.
        makers: By dataset the node that makes it.
        only_missing_outputs: Whether Kedro is to leave out what is there.

    Raises:
        ProjectError: It names what is missing and where it comes from: the nodes to start from, or
            who brings it.
    """
    if only_missing_outputs and "logged_candidate" in pipeline.all_outputs():
        raise ProjectError(
            "--only-missing-outputs cannot complete a training: its model, metrics and decision "
            "belong to one run. Leave the option out."
        )
    for name in sorted(pipeline.inputs() & _BROUGHT.keys()):
        if not catalog.exists(name):
            path = getattr(catalog.get(name), "_filepath", None)
            where = f" ({path})" if path else ""
            raise ProjectError(f"{name} is not there{where}. {_BROUGHT[name]}")
    missing = [
        name
        for name in sorted(pipeline.inputs() & makers.keys())
        # The alias `champion` says itself how to come by one.
        if name != "champion" and not catalog.exists(name)
    ]
    if missing:
        nodes = sorted({makers[name] for name in missing})
        raise ProjectError(
            f"{', '.join(missing)}: not there, or only in memory while a run lasts. Run the whole "
            f"pipeline, or start where it is made: kedro run --from-nodes {','.join(nodes)}"
        )
