"""`marvel-kedro-job`: one task of a job, from the installed wheel, in any folder."""

import os
import sys
from pathlib import Path
from typing import Any

import click
import yaml

from marvel_kedro.core.packaged import conf_source

# What the configuration reads from the environment, by option.
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


class _Task(click.Command):
    """A command that returns when all is well: some runners take any `SystemExit` for a failure."""

    def main(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - click's signature
        """Run the command; a fault ends the process with its status."""
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
    help="Which pipeline the task of the training job runs; that task has it as --pipeline.",
)
@click.option("--env", default="lakehouse", show_default=True, help="Folder of the configuration.")
@click.option("--catalog", help="Catalog of the tables and, on Databricks, of the model.")
@click.option("--schema", help="Schema of the tables and the model.")
@click.option("--files", help="Folder of the raw file and the reports, such as a volume's path.")
@click.option("--experiment", help="MLflow experiment of the run.")
@click.option("--endpoint", help="Name of the endpoint that deploy makes or changes.")
@click.option("--tracking-uri", help="Where MLflow tracks: databricks, an address, sqlite:///..")
@click.option("--registry-uri", help="Where models are registered: databricks-uc, an address, ..")
@click.option("--evolve", help="Tables whose columns may change in this run, parted by commas.")
@click.option("--git-sha", help="Commit that the wheel was built from, a tag of run and model.")
@click.option("--git-branch", help="Its branch, likewise.")
@click.option("--job-id", help="Job that this is a task of, likewise.")
@click.option("--run-id", help="Run of the job, likewise.")
@click.option("--task-run-id", help="Run of the task, likewise.")
@click.option("--params", multiple=True, metavar="KEY=VALUE", help="A parameter; may be repeated.")
def main(
    command: str, pipeline: str | None, env: str, params: tuple[str, ...], **given: str | None
) -> None:
    """Run a pipeline of marvel_kedro as a task, or deploy its endpoint.

    Where the tables, files, runs and models are is said by the options, or else by the environment
    variables and the configuration that came with the wheel. The task values `promoted` and
    `model_version` are set after a training.
    """
    if command == "run" and not pipeline:
        raise click.UsageError("--command run needs a --pipeline.")
    if command == "deploy" and (pipeline or params):
        raise click.UsageError("--command deploy takes neither a --pipeline nor --params.")
    os.environ.update({VARIABLES[name]: value for name, value in given.items() if value})
    # Kedro sets up logging when it is imported, with colours that are not for a job's log.
    os.environ.setdefault("KEDRO_LOGGING_CONFIG", str(conf_source() / "logging.yml"))
    _log_plainly(conf_source())
    from kedro.framework.project import configure_project  # noqa: PLC0415 - see above

    from marvel_kedro import cli  # noqa: PLC0415 - see above

    configure_project("marvel_kedro")
    words = ["--env", env, "--conf-source", str(conf_source())]
    if command == "deploy":
        cli.deploy.main([*words, "--target", "databricks"], standalone_mode=False)
    else:
        words += ["--pipelines", str(pipeline), "--params", ",".join(params)]
        cli.run.main(words, standalone_mode=False)


def _log_plainly(conf: Path) -> None:
    from kedro.framework.project import LOGGING  # noqa: PLC0415 - see main

    settings = yaml.safe_load((conf / "logging.yml").read_text("utf-8"))
    settings["formatters"] = {"plain": {"format": "%(asctime)s %(levelname)-8s %(message)s"}}
    settings["handlers"]["terminal"] = {
        "class": "logging.StreamHandler",
        "stream": "ext://sys.stdout",
        "formatter": "plain",
    }
    LOGGING.configure(settings)
    if hasattr(sys.stdout, "reconfigure"):  # a notebook's kernel, which runs wheel tasks, has none
        sys.stdout.reconfigure(line_buffering=True)
