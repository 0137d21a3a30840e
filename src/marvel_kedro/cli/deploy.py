"""`kedro deploy`: serve what the parameters describe, or see what is served here."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

import click

from marvel_kedro.cli import store
from marvel_kedro.cli.error_handling import told
from marvel_kedro.core.errors import ProjectError

if TYPE_CHECKING:
    from marvel_kedro.project.configuration import Configuration


@click.command()
@click.option(
    "--target",
    type=click.Choice(["databricks", "local"]),
    default="local",
    show_default=True,
    help="databricks: make or change the served endpoint of the workspace. local: see what kedro "
    "serve serves, and whether it answers.",
)
@click.option("--env", help="Environment; lakehouse for databricks, else Kedro's default.")
@click.option("--conf-source", help="Folder or archive of the configuration.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=20.0,
    show_default=True,
    help="Minutes that an update may take.",
)
def deploy(
    target: Literal["databricks", "local"],
    env: str | None,
    conf_source: str | None,
    *,
    dry_run: bool,
    timeout: float,
) -> None:
    """Serve what the section `endpoint` of the parameters describes.

    On Databricks only what differs is changed; where the new version does not come up or does not
    answer, the one that served before is brought back.
    """
    with told("Interrupted. An update goes on in the workspace; the same command waits for it."):
        from marvel_kedro.project import configuration  # noqa: PLC0415 - for commands

        read = configuration.load(
            env or ("lakehouse" if target == "databricks" else None), conf_source
        )
        if target == "databricks":
            _deploy_on_databricks(read, dry_run, timedelta(minutes=timeout))
        else:
            _check_local(read)


def _deploy_on_databricks(read: "Configuration", dry_run: bool, timeout: timedelta) -> None:
    import mlflow  # noqa: PLC0415 - slow to import

    from marvel_kedro.databricks import workspace  # noqa: PLC0415 - imports the SDK
    from marvel_kedro.databricks.endpoint import deployment, difference, spec  # noqa: PLC0415 - likewise
    from marvel_kedro.serving.models.served_versions import served_versions  # noqa: PLC0415

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
        done = difference.differences(client, goal)
    else:
        done = deployment.deploy(client, goal, timeout)
    for change in done:
        click.echo(f"- {change}")
    all_well = "is as described" if not done else "would change" if dry_run else "serves"
    click.echo(f"The endpoint '{asked.name}' {all_well}.")


def _check_local(read: "Configuration") -> None:
    from marvel_kedro.serving import smoke  # noqa: PLC0415 - imports MLflow

    store.use()
    asked = read.description.endpoint
    click.echo(f"The endpoint '{asked.name}' serves:")
    for line in smoke.check_versions(asked):
        click.echo(f"- {line}")
    click.echo(smoke.smoke(asked, read.description.server))
