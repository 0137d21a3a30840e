"""The model of all parameters, which are checked before anything runs."""

from typing import Any

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import Options, validate
from marvel_kedro.model.options import RetrainingOptions, ServingOptions, TrainingOptions
from marvel_kedro.monitoring import options, tables
from marvel_kedro.monitoring.alerting.rules import AlertingOptions
from marvel_kedro.serving.configuration import EndpointOptions, ServerOptions
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.options import ProcessingOptions

REMEDY = (
    "Fix them in conf/*/<pipeline>/parameters.yml (the table in conf/*/table.yml) or in --params."
)


class Parameters(Options):
    """One section for each pipeline, the endpoint and the server."""

    table: TableSpec
    mlflow_run_id: str | None = None  # the MLflow run that several tasks of one job share
    synthetic: SyntheticOptions
    processing: ProcessingOptions
    training: TrainingOptions
    serving: ServingOptions
    ab_test: options.ABTestOptions
    alerting: AlertingOptions
    retraining: RetrainingOptions
    monitoring: options.MonitoringOptions
    exporting: options.ExportingOptions
    reporting: options.ReportingOptions
    endpoint: EndpointOptions
    server: ServerOptions


def check(parameters: dict[str, Any]) -> Parameters:
    """Validate all parameters.

    Raises:
        ProjectError: A key is unknown or a value is wrong, or a rule about a column that is not
            measured could never fire. It names each key, its problem and where to fix it.
    """
    found = validate(Parameters, parameters, REMEDY)
    monitoring = found.monitoring
    if monitoring.computed_by != "project":  # a managed monitor measures every column
        return found
    # With those that are left out on purpose: rules name columns by default.
    measured = {*parameters["monitoring"]["columns"], tables.TABLE}
    for name, rule in found.alerting.active.items():
        columns = [] if rule.columns == "all" else rule.columns
        if unknown := [column for column in columns if column not in measured]:
            raise ProjectError(
                f"alerting.rules.{name}.columns names {', '.join(unknown)}, which "
                "monitoring.columns does not measure: the rule would never fire for it. "
                f"Measured are {', '.join(monitoring.columns)}. {REMEDY}"
            )
    return found
