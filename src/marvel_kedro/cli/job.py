"""`marvel-kedro-job`: run one task of a job from the installed wheel, in any folder."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from marvel_kedro import cli
from marvel_kedro.cli.options import parse_params
from marvel_kedro.core.packaged import conf_source

VARIABLES = {
    "catalog": "MARVEL_CATALOG",
    "schema": "MARVEL_SCHEMA",
    "files": "MARVEL_FILES",
    "experiment": "MARVEL_EXPERIMENT",
    "endpoint": "MARVEL_ENDPOINT",
    "evolve": "MARVEL_EVOLVE",
    "tracking_uri": "MLFLOW_TRACKING_URI",
    "registry_uri": "MLFLOW_REGISTRY_URI",
    "git_sha": "MARVEL_GIT_SHA",
    "git_branch": "MARVEL_GIT_BRANCH",
    "job_id": "MARVEL_JOB_ID",
    "run_id": "MARVEL_JOB_RUN_ID",
    "task_run_id": "MARVEL_TASK_RUN_ID",
}
"""The environment variables that the configuration reads, by option."""


class _Task(click.Command):
    """A command that returns on success: some runners treat any `SystemExit` as a failure."""

    def main(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - click's signature
        """Run the command; an error ends the process with its exit status."""
        try:
            return super().main(*args, **options)
        except SystemExit as end:
            if end.code:
                raise
            return None


@click.command(cls=_Task, context_settings={"max_content_width": 100})
@click.option(
    "--command",
    type=click.Choice(["run", "deploy"]),
    default="run",
    show_default=True,
    help="Run a pipeline, or deploy the endpoint on Databricks.",
)
@click.option("--pipeline", help="Name of the pipeline to run.")
@click.option(
    "--training-pipeline",
    expose_value=False,
    help="Pipeline of the training job's task, which gets it as --pipeline; ignored here.",
)
@click.option("--env", default="lakehouse", show_default=True, help="Folder of the configuration.")
@click.option("--catalog", help="Catalog of the tables and, on Databricks, of the model.")
@click.option("--schema", help="Schema of the tables and the model.")
@click.option("--files", help="Folder of the raw file and the reports, such as a volume's path.")
@click.option("--experiment", help="MLflow experiment of the run.")
@click.option("--endpoint", help="Name of the endpoint that deploy creates or updates.")
@click.option("--tracking-uri", help="MLflow tracking store: databricks, an address, sqlite:///..")
@click.option("--registry-uri", help="Model registry: databricks-uc, an address, ..")
@click.option("--evolve", help="Tables whose columns may change in this run, separated by commas.")
@click.option("--git-sha", help="Commit that the wheel was built from; a tag of run and model.")
@click.option("--git-branch", help="Branch of the commit; a tag, too.")
@click.option("--job-id", help="Job of the task; a tag, too.")
@click.option("--run-id", help="Run of the job; a tag, too.")
@click.option("--task-run-id", help="Run of the task; a tag, too.")
@click.option("--params", multiple=True, metavar="KEY=VALUE", help="A parameter; may be repeated.")
def main(
    command: str, pipeline: str | None, env: str, params: tuple[str, ...], **given: str | None
) -> None:
    """Run a pipeline of marvel_kedro as a task, or deploy its endpoint.

    The options say where tables, files, runs and models are; without them the environment
    variables and the configuration of the wheel do. A training sets the task values `promoted` and
    `model_version`.
    """
    if command == "run" and not pipeline:
        raise click.UsageError("--command run needs a --pipeline.")
    if command == "deploy" and (pipeline or params):
        raise click.UsageError("--command deploy takes neither a --pipeline nor --params.")
    os.environ.update({VARIABLES[name]: value for name, value in given.items() if value})
    conf = conf_source()
    # Kedro sets up logging when it is imported, with colours that do not suit a job's log.
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(conf / "logging.yml"))
    from kedro.framework.project import configure_project  # noqa: PLC0415 - after that

    _log_plainly(conf)
    configure_project("marvel_kedro")
    arguments = ["--env", env, "--conf-source", str(conf)]
    if command == "deploy":
        cli.deploy.main([*arguments, "--target", "databricks"], standalone_mode=False)
    else:
        arguments += ["--pipelines", str(pipeline)]
        parsed = {"params": parse_params(params)}
        cli.run.main(arguments, standalone_mode=False, default_map=parsed)


def _log_plainly(conf: Path) -> None:
    from kedro.framework.project import LOGGING  # noqa: PLC0415 - as in `main`

    settings = yaml.safe_load((conf / "logging.yml").read_text("utf-8"))
    settings["formatters"] = {"plain": {"format": "%(asctime)s %(levelname)-8s %(message)s"}}
    to_stdout = {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}
    settings["handlers"]["terminal"] = to_stdout | {"formatter": "plain"}
    LOGGING.configure(settings)
    if hasattr(sys.stdout, "reconfigure"):  # not that of a notebook kernel
        sys.stdout.reconfigure(line_buffering=True)
