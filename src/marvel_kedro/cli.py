"""Project commands: `kedro run` and others that end in one message where the user can mend it."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError

from marvel_kedro import run_checks
from marvel_kedro.databricks import session
from marvel_kedro.errors import ProjectError
from marvel_kedro.explain import explain

if TYPE_CHECKING:
    from marvel_kedro.configuration import Configuration

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended, by the shells' convention."""


assert kedro_run.callback is not None
_RUN = kedro_run.callback


@click.group(name="marvel_kedro")
def cli() -> None:
    """Commands of this project."""


def _run(**options: Any) -> Any:  # noqa: ANN401 - Kedro's own options and result
    with _told("Interrupted. Run the same command again: nothing is half-written."):
        try:
            run_checks.check_options(options)
            return _RUN(**options)
        except KeyboardInterrupt:
            session.end()  # first: MLflow would ask it for a setting, and Sail has heard Ctrl-C too
            _close_run("KILLED")
            raise


@contextmanager
def _told(interrupted: str) -> Iterator[None]:
    """End the process with one message, where the user can mend the fault or has stopped it."""
    try:
        yield
    except KeyboardInterrupt:
        click.secho(interrupted, err=True)
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise _FaultError(message) from error


def _close_run(status: str) -> None:
    """End the active MLflow run, which would count as finished when the process ends."""
    import mlflow  # noqa: PLC0415 - slow to import

    if mlflow.active_run():
        mlflow.end_run(status)


class _FaultError(KedroCliError):
    """A fault, shown as its message alone; `kedro --verbose run` adds the traceback."""

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's signature
        if self.VERBOSE_ERROR:
            super().show(file)
        click.ClickException.show(self, file)


run: click.Command = copy.copy(kedro_run)
run.callback = _run
cli.add_command(run)


@cli.command()
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
    with _told("Interrupted. An update goes on in the workspace; the same command waits for it."):
        from marvel_kedro import configuration  # noqa: PLC0415 - imports every pipeline

        read = configuration.load(
            env or ("lakehouse" if target == "databricks" else None), conf_source
        )
        if target == "databricks":
            _deploy_on_databricks(read, dry_run, timedelta(minutes=timeout))
        else:
            _check_local(read)


def _deploy_on_databricks(read: "Configuration", dry_run: bool, timeout: timedelta) -> None:
    import mlflow  # noqa: PLC0415 - slow to import

    from marvel_kedro import registry  # noqa: PLC0415 - imports MLflow
    from marvel_kedro.databricks import endpoint  # noqa: PLC0415 - imports the SDK

    asked = read.parameters.endpoint
    if missing := {"catalog", "schema"} - read.names.keys():
        raise ProjectError(
            f"globals.yml has no {' and no '.join(sorted(missing))} for the endpoint "
            f"'{asked.name}'. Use an environment that has: kedro deploy --env lakehouse."
        )
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or "databricks")
    mlflow.set_registry_uri(os.environ.get("MLFLOW_REGISTRY_URI") or "databricks-uc")
    versions = registry.served_versions(asked)
    wanted = endpoint.Wanted.of(asked, versions, read.names["catalog"], read.names["schema"])
    client = endpoint.connect()
    if dry_run:
        done = endpoint.differences(client, wanted)
    else:
        done = endpoint.deploy(client, wanted, timeout)
    for change in done:
        click.echo(f"- {change}")
    all_well = "is as described" if not done else "would change" if dry_run else "serves"
    click.echo(f"The endpoint '{asked.name}' {all_well}.")


def _check_local(read: "Configuration") -> None:
    import mlflow  # noqa: PLC0415 - slow to import

    from marvel_kedro import configuration, local_endpoint, tracking  # noqa: PLC0415 - likewise

    store = tracking.find_store(configuration.project_path())
    tracking.check_reachable(store.uri)
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.registry or store.uri)
    asked = read.parameters.endpoint
    click.echo(f"The endpoint '{asked.name}' serves:")
    for line in local_endpoint.check_versions(asked):
        click.echo(f"- {line}")
    click.echo(local_endpoint.smoke(asked, read.parameters.server))


@cli.command()
@click.option("--env", "-e", help="Environment of the parameters.")
@click.option("--url", help="Address of the endpoint; that of `kedro serve` if none is given.")
@click.option(
    "--rate", default=100.0, type=click.FloatRange(0, min_open=True), help="Requests a second."
)
@click.option("--requests", default=1000, help="Requests a simulated day.")
@click.option("--days", default=10, help="Simulated days.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The first one; by default the last one is yesterday.",
)
@click.option(
    "--scenario",
    default="none",
    help="Drift of the rows.",
    type=click.Choice(["none", "covariate", "prior", "concept"]),
)
@click.option("--magnitude", default=0.5, help="Size of the drift, from 0 to 1.")
@click.option("--drift-from-day", default=6, help="The first day that drifts, counted from 1.")
@click.option("--label-delay-days", default=1, help="Days until it is known who was alive.")
@click.option(
    "--labels-to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet file of the labels; the table `labels` if none is given.",
)
@click.option("--records", default=1, help="Characters a request.")
@click.option("--clients", default=1000, help="Distinct client_request_ids; 0 sends none.")
@click.option(
    "--connections",
    default=16,
    type=click.IntRange(1),
    help="Requests that may wait for an answer at once.",
)
@click.option("--seed", default=1, help="Other rows and clients; the same seed, the same bytes.")
def traffic(  # noqa: PLR0913 - one an option
    *,
    env: str | None,
    url: str | None,
    rate: float,
    start: datetime | None,
    scenario: str,
    magnitude: float,
    labels_to: Path | None,
    connections: int,
    **options: Any,  # noqa: ANN401 - those of `TrafficOptions`
) -> None:
    """Send made-up characters to an endpoint, over simulated days with drift and late labels.

    MARVEL_TOKEN is the bearer token, if the server wants one.
    """
    with _told("Interrupted."):
        from marvel_kedro import configuration  # noqa: PLC0415 - imports every pipeline
        from marvel_kedro.traffic import command  # noqa: PLC0415 - slow to import

        read = configuration.load(env)
        command.run(
            url=url or command.local_url(read.parameters.server, read.parameters.endpoint),
            token=os.environ.get("MARVEL_TOKEN"),
            rate=rate,
            connections=connections,
            labels_to=labels_to or Path(read.names["files"], "03_primary", "labels.parquet"),
            options=command.checked(
                **options,
                start=start.date() if start else None,
                drift={"scenario": scenario, "magnitude": magnitude},
                world=read.parameters.synthetic.seed,
            ),
        )
