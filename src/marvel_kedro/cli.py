"""Project commands: `kedro run` and others that end in one message where the user can mend it."""

import copy
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
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
    from marvel_kedro.alert_actions import AlertTables
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
        from marvel_kedro import configuration  # noqa: PLC0415 - for commands

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
    from marvel_kedro.databricks import workspace  # noqa: PLC0415 - imports the SDK
    from marvel_kedro.databricks.endpoint import (  # noqa: PLC0415 - likewise
        deployment,
        difference,
        wanted,
    )

    asked = read.description.endpoint
    if missing := {"catalog", "schema"} - read.names.keys():
        raise ProjectError(
            f"globals.yml has no {' and no '.join(sorted(missing))} for the endpoint "
            f"'{asked.name}'. Use an environment that has: kedro deploy --env lakehouse."
        )
    mlflow.set_tracking_uri(os.environ.get("MLFLOW_TRACKING_URI") or "databricks")
    mlflow.set_registry_uri(os.environ.get("MLFLOW_REGISTRY_URI") or "databricks-uc")
    versions = registry.served_versions(asked)
    goal = wanted.Wanted.of(asked, versions, read.names["catalog"], read.names["schema"])
    client = workspace.connect()
    if dry_run:
        done = difference.differences(client, goal)
    else:
        done = deployment.deploy(client, goal, timeout)
    for change in done:
        click.echo(f"- {change}")
    all_well = "is as described" if not done else "would change" if dry_run else "serves"
    click.echo(f"The endpoint '{asked.name}' {all_well}.")


def _use_store() -> None:
    """Let MLflow's clients ask the project's store."""
    import mlflow  # noqa: PLC0415 - slow to import

    from marvel_kedro import configuration, tracking  # noqa: PLC0415 - likewise

    store = tracking.find_store(configuration.project_path())
    tracking.check_reachable(store.uri)
    mlflow.set_tracking_uri(store.uri)
    mlflow.set_registry_uri(store.registry or store.uri)


def _check_local(read: "Configuration") -> None:
    from marvel_kedro import local_endpoint  # noqa: PLC0415 - imports MLflow

    _use_store()
    asked = read.description.endpoint
    click.echo(f"The endpoint '{asked.name}' serves:")
    for line in local_endpoint.check_versions(asked):
        click.echo(f"- {line}")
    click.echo(local_endpoint.smoke(asked, read.description.server))


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
        from marvel_kedro import configuration  # noqa: PLC0415 - for commands
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


@cli.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data", "demo"),
    show_default=True,
    help="Where the demo's own project is made.",
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser at the end.")
def demo(folder: Path, *, show: bool) -> None:
    """Simulate ten days: calm, drift, an alert, a retraining, a promotion, and quality back."""
    with _told("Interrupted. The same command begins anew."):
        from rich.console import Console  # noqa: PLC0415 - for commands

        from marvel_kedro import configuration  # noqa: PLC0415 - for commands
        from marvel_kedro import demo as days  # noqa: PLC0415 - imports every pipeline

        report = days.run(configuration.project_path(), folder, Console(file=sys.stdout))
        if show:
            click.launch(str(report))


_env = click.option("--env", "-e", help="Environment of the parameters.")
_conf_source = click.option("--conf-source", help="Folder or archive of the configuration.")


@cli.command()
@_env
@_conf_source
@click.option("--host", help="Address to listen on; 0.0.0.0 is everywhere.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0 is any that is free.")
@click.option("--workers", type=click.IntRange(1), help="Processes that answer.")
@click.option("--fetch", is_flag=True, help="Fetch the models and end: for images.")
def serve(  # noqa: PLR0913 - one an option
    *,
    env: str | None,
    conf_source: str | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    fetch: bool,
) -> None:
    """Serve the model over HTTP, as the sections `endpoint` and `server` of the parameters say.

    MARVEL_TOKENS=name:token,.. (or a file, MARVEL_TOKENS_FILE) lets only those in who have a token.
    OTEL_EXPORTER_OTLP_ENDPOINT turns OpenTelemetry on.
    """
    with _told("Interrupted."):
        from marvel_kedro import configuration  # noqa: PLC0415 - for commands
        from marvel_kedro import serve as server  # noqa: PLC0415

        server.start(
            configuration.load(env, conf_source),
            configuration.project_path(),
            host=host,
            port=port,
            workers=workers,
            fetch=fetch,
        )


@cli.group(invoke_without_command=True)
@_env
@_conf_source
@click.option("--all", "everything", is_flag=True, help="Those that are resolved as well.")
@click.pass_context
def alerts(
    context: click.Context, *, env: str | None, conf_source: str | None, everything: bool
) -> None:
    """List the alerts of monitoring; acknowledge or silence one.

    What is done takes effect in this list at once, and in reports, metrics and messages with the
    next run.
    """
    context.obj = env, conf_source
    if context.invoked_subcommand is not None:
        return
    with _told("Interrupted."):
        from rich.console import Console  # noqa: PLC0415 - for commands

        from marvel_kedro import alert_actions  # noqa: PLC0415 - imports Arrow

        with _alert_tables(context) as tables:
            rows = tables.current(datetime.now(UTC))
        chosen = [row for row in rows if everything or row["state"] != "resolved"]
        if chosen:
            Console().print(alert_actions.shown(chosen))
        resolved = len(rows) - len(chosen)
        number = f"{len(chosen)} alert" + "s" * (len(chosen) != 1)
        click.echo(number + (f"; --all shows {resolved} resolved" if resolved else ""))


@contextmanager
def _alert_tables(context: click.Context) -> Iterator["AlertTables"]:
    """The tables of alerts, wherever the environment keeps them."""
    from marvel_kedro import alert_actions, configuration  # noqa: PLC0415 - for commands

    read = configuration.load(*context.obj)
    with _lakehouse(read, configuration.project_path()):
        yield alert_actions.AlertTables(read)


@contextmanager
def _lakehouse(read: "Configuration", project_path: Path) -> Iterator[None]:
    """A session that knows the tables, if the environment keeps them in a lakehouse."""
    if "catalog" not in read.names:
        yield
        return
    from marvel_kedro.databricks import tables  # noqa: PLC0415 - nothing of it in base

    place = tables.place_from(read.names, project_path)
    try:
        session.start(read.names["engine"], place.warehouse)
        from pyspark.sql import SparkSession  # noqa: PLC0415 - only where Spark is used

        tables.attach(SparkSession.builder.getOrCreate(), place)
        yield
    finally:
        session.end()


@alerts.command()
@click.argument("alert_id", metavar="ID")
@click.option("--by", required=True, help="Who looks after it.")
@click.pass_context
def ack(context: click.Context, alert_id: str, by: str) -> None:
    """Acknowledge the alert ID: somebody looks after it, and it goes on."""
    with _told("Interrupted."):
        with _alert_tables(context) as tables:
            alert = tables.acknowledge(alert_id, by, datetime.now(UTC))
        click.echo(f"{alert['alert_id']} ({alert['rule']}) is acknowledged by {by}.")


@alerts.command()
@click.argument("alert_id", metavar="[ID]", required=False)
@click.option("--rule", help="All alerts of this rule, those to come as well.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]),
    help="The end of the silence, UTC.",
)
@click.option("--for", "duration", help="How long: 90m, 12h, 3d, 2w; 0m ends a silence.")
@click.option("--by", default="", help="Who wants it.")
@click.pass_context
def silence(  # noqa: PLR0913 - one an option
    context: click.Context,
    *,
    alert_id: str | None,
    rule: str | None,
    until: datetime | None,
    duration: str | None,
    by: str,
) -> None:
    """Silence the alert ID, or a rule: no message, and no reason for a training."""
    with _told("Interrupted."):
        from marvel_kedro import alert_actions  # noqa: PLC0415 - imports Arrow

        if (alert_id is None) == (rule is None):
            raise ProjectError("Name an alert, or a rule with --rule.")
        now = datetime.now(UTC)
        end = alert_actions.end_of_silence(until, duration, now)
        with _alert_tables(context) as tables:
            tables.silence(alert_id=alert_id, rule=rule, until=end, now=now, by=by)
        click.echo(f"{alert_id or rule} is silenced until {end:%Y-%m-%d %H:%M} UTC.")


@cli.group()
def endpoint() -> None:
    """See what is served, and move traffic while it is."""


_target = click.option(
    "--target",
    type=click.Choice(["local", "databricks"]),
    default="local",
    show_default=True,
    help="local: every server that asks this registry. databricks: the endpoint of the workspace.",
)


class _Traffic:
    """Where a command moves traffic."""

    def __init__(self, env: str | None, target: str) -> None:
        from marvel_kedro import configuration  # noqa: PLC0415 - for commands

        databricks = target == "databricks"
        self.read = configuration.load(env or ("lakehouse" if databricks else None))
        self.asked = self.read.description.endpoint
        self._databricks = databricks
        if not databricks:
            _use_store()

    def shares(self) -> dict[str, int]:
        """The shares that hold now, where they hold."""
        if self._databricks:
            from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the SDK
            from marvel_kedro.databricks.endpoint import shifting  # noqa: PLC0415 - likewise

            return shifting.served_traffic(workspace.connect(), self.asked.name)
        from marvel_kedro import endpoint  # noqa: PLC0415 - imports MLflow

        return endpoint.shares_to_move(self.asked)

    def move(self, shares: dict[str, int]) -> None:
        if self._databricks:
            from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the SDK
            from marvel_kedro.databricks.endpoint import shifting  # noqa: PLC0415 - likewise

            shares = shifting.shift(workspace.connect(), self.asked, shares)
        else:
            from marvel_kedro import endpoint  # noqa: PLC0415 - imports MLflow

            shares = endpoint.shift(self.asked, shares)
        self.say(shares)

    def reset(self) -> None:
        if self._databricks:
            self.move(dict(self.asked.traffic))
        else:
            from marvel_kedro import endpoint  # noqa: PLC0415 - imports MLflow

            self.say(endpoint.reset(self.asked))

    def say(self, shares: dict[str, int]) -> None:
        said = ", ".join(f"{name} {share} %" for name, share in shares.items())
        click.echo(f"{self.asked.name}: {said}")


@endpoint.command()
@_env
def show(env: str | None) -> None:
    """Say which versions are served, with which shares, here and by a server that runs."""
    with _told("Interrupted."):
        from marvel_kedro import endpoint  # noqa: PLC0415 - imports MLflow

        where = _Traffic(env, "local")
        for line in endpoint.lines(where.asked):
            click.echo(line)
        for line in endpoint.running(where.read.description.server, os.environ.get("MARVEL_TOKEN")):
            click.echo(line)


@endpoint.command()
@click.argument("entity")
@click.argument("percent", type=click.IntRange(0, 100))
@_env
@_target
def shift(entity: str, percent: int, env: str | None, target: str) -> None:
    """Give ENTITY PERCENT of the traffic; the others share the rest as they did."""
    with _told("Interrupted."):
        from marvel_kedro import endpoint  # noqa: PLC0415 - imports MLflow

        where = _Traffic(env, target)
        where.move(endpoint.shifted(where.shares(), entity, percent))


@endpoint.command()
@click.argument("entity")
@click.option("--steps", default="5,25,50,100", show_default=True, help="Percentages, by commas.")
@click.option("--minutes", default=10.0, show_default=True, help="Between two steps.")
@_env
@_target
def ramp(entity: str, steps: str, minutes: float, env: str | None, target: str) -> None:
    """Move traffic to ENTITY in steps.

    Ctrl-C stops where it is; `kedro endpoint reset` goes back.
    """
    with _told("Stopped where it is; kedro endpoint reset goes back."):
        from marvel_kedro import endpoint  # noqa: PLC0415 - imports MLflow

        try:
            shares = [int(step) for step in steps.split(",")]
        except ValueError:
            raise ProjectError(f"--steps {steps}: write percentages, parted by commas.") from None
        if not all(0 <= share <= 100 for share in shares):  # noqa: PLR2004 - per cent
            raise ProjectError(f"--steps {steps}: percentages are from 0 to 100.")
        where = _Traffic(env, target)
        for number, share in enumerate(shares):
            if number:
                time.sleep(minutes * 60)
            where.move(endpoint.shifted(where.shares(), entity, share))


@endpoint.command()
@_env
@_target
def reset(env: str | None, target: str) -> None:
    """Go back to the traffic of the parameters, at once."""
    with _told("Interrupted."):
        _Traffic(env, target).reset()
