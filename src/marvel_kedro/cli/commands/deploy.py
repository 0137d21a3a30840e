"""`kedro deploy`: deploy the endpoint on Databricks, or check the one that is served here."""

import os
from datetime import timedelta
from typing import Literal

import click
import mlflow

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.project import configuration
from marvel_kedro.project.configuration import Configuration
from marvel_kedro.serving.models.served_versions import served_versions


@click.command()
@click.option(
    "--target",
    type=click.Choice(["databricks", "local"]),
    default="local",
    show_default=True,
    help="databricks: create or update the endpoint of the workspace. local: show what kedro "
    "serve serves, and whether it answers.",
)
@click.option("--env", help="Environment; lakehouse for databricks, else Kedro's default.")
@options.conf_source
@click.option("--dry-run", is_flag=True, help="Show the changes and apply none.")
@click.option(
    "--timeout",
    type=options.Number(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="Time limit of an update in minutes.",
)
@errors_as_messages(
    "Interrupted. An update goes on in the workspace; the same command waits for it."
)
def deploy(
    target: Literal["databricks", "local"],
    env: str | None,
    conf_source: str | None,
    *,
    dry_run: bool,
    timeout: float,
) -> None:
    """Serve what the parameter section `endpoint` describes.

    On Databricks only differences are applied. If the new version does not start or does not
    answer, the previous configuration is restored.
    """
    if target == "databricks":
        read = configuration.load(env or "lakehouse", conf_source)
        _deploy_on_databricks(read, dry_run, timedelta(minutes=timeout))
        return
    from marvel_kedro.serving import status  # noqa: PLC0415 - the extra `server`

    read = configuration.load(env, conf_source)
    configuration.use_store()
    asked = read.description.endpoint
    click.echo(f"The endpoint '{asked.name}' serves:")
    for line in status.check_versions(asked):
        click.echo(f"- {line}")
    click.echo(status.smoke(asked, read.description.server))


def _deploy_on_databricks(read: Configuration, dry_run: bool, timeout: timedelta) -> None:
    from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the extra of that name
    from marvel_kedro.databricks.endpoint import deployment, spec  # noqa: PLC0415

    asked = read.description.endpoint
    if missing := {"catalog", "schema"} - read.names.keys():
        raise ProjectError(
            f"globals.yml has no {' and no '.join(sorted(missing))} for the endpoint "
            f"'{asked.name}'. Use an environment that has: kedro deploy --env lakehouse."
        )
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or "databricks")
    mlflow.set_registry_uri(os.environ.get("MLFLOW_REGISTRY_URI") or "databricks-uc")
    versions = served_versions(asked)
    goal = spec.EndpointSpec.of(asked, versions, read.names["catalog"], read.names["schema"])
    client = workspace.connect()
    if dry_run:
        changes = deployment.differences(client, goal)
    else:
        changes = deployment.deploy(client, goal, timeout)
    for change in changes:
        click.echo(f"- {change}")
    state = "is as configured" if not changes else "would change" if dry_run else "serves"
    click.echo(f"The endpoint '{asked.name}' {state}.")
