"""The whole of the parameters, checked before anything runs."""

from typing import Any

from pydantic import ValidationError

from marvel_kedro.errors import ProjectError
from marvel_kedro.model.ab_test import ABTestOptions
from marvel_kedro.options import Options
from marvel_kedro.pipelines.processing.nodes import ProcessingOptions
from marvel_kedro.pipelines.serving.nodes import ServingOptions
from marvel_kedro.pipelines.synthetic.nodes import SyntheticOptions
from marvel_kedro.pipelines.training.nodes import TrainingOptions
from marvel_kedro.server.description import EndpointOptions, ServerOptions


class Parameters(Options):
    """One section a pipeline, the endpoint, and the run that tasks of one job may share."""

    mlflow_run_id: str | None = None

    synthetic: SyntheticOptions
    processing: ProcessingOptions
    training: TrainingOptions
    serving: ServingOptions
    ab_test: ABTestOptions
    endpoint: EndpointOptions
    server: ServerOptions


def check(parameters: dict[str, Any]) -> Parameters:
    """Refuse unknown keys and values of the wrong kind.

    Returns:
        The parameters, every value of its own type.

    Raises:
        ProjectError: It names each key, what is wrong with it and where to mend it.
    """
    try:
        return Parameters.model_validate(parameters)
    except ValidationError as error:
        faults = "\n".join(
            f"- {'.'.join(map(str, fault['loc']))}: {fault['msg']}, got {fault['input']!r}"
            for fault in error.errors()
        )
        raise ProjectError(
            f"Parameters are not right:\n{faults}\n"
            "Mend them in conf/*/<pipeline>/parameters.yml or in --params."
        ) from error
