"""`kedro alerts`: list, acknowledge and silence the alerts of monitoring."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.terminal import wide_enough
from marvel_kedro.databricks import tables
from marvel_kedro.monitoring.alerting import acknowledgement
from marvel_kedro.project import configuration


@click.group(invoke_without_command=True)
@options.env
@options.conf_source
@click.option("--all", "everything", is_flag=True, help="Also list resolved alerts.")
@click.pass_context
@errors_as_messages()
def alerts(
    context: click.Context, *, env: str | None, conf_source: str | None, everything: bool
) -> None:
    """List the alerts of monitoring; acknowledge or silence one.

    An action shows in this list at once, and in reports, metrics and messages with the next run.
    """
    context.obj = env, conf_source
    if context.invoked_subcommand is not None:
        return
    with _alert_tables(context) as alert_tables:
        rows = alert_tables.current(datetime.now(UTC))
    chosen = [row for row in rows if everything or row["state"] != "resolved"]
    if chosen:
        wide_enough().print(acknowledgement.terminal_table(chosen))
    resolved = len(rows) - len(chosen)
    number = f"{len(chosen)} alert" + "s" * (len(chosen) != 1)
    click.echo(number + (f"; --all shows {resolved} resolved" if resolved else ""))


@contextmanager
def _alert_tables(context: click.Context) -> Iterator[acknowledgement.AlertTables]:
    """Open the tables of alerts, in files or in a lakehouse."""
    read = configuration.load(*context.obj)
    with tables.attached(read.names, configuration.project_path()):
        yield acknowledgement.AlertTables(
            read.dataset("alerts"), read.dataset("alert_actions"), read.raw.get("alerting")
        )


@alerts.command()
@click.argument("alert_id", metavar="ID")
@click.option("--by", required=True, help="Who looks after it.")
@click.pass_context
@errors_as_messages()
def ack(context: click.Context, alert_id: str, by: str) -> None:
    """Acknowledge the alert ID: someone looks after it, and it stays active."""
    with _alert_tables(context) as alert_tables:
        alert = alert_tables.acknowledge(alert_id, by, datetime.now(UTC))
    click.echo(f"{alert['alert_id']} ({alert['rule']}) is acknowledged by {by}.")


@alerts.command()
@click.argument("alert_id", metavar="[ID]", required=False)
@click.option("--rule", help="All alerts of this rule, including future ones.")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"]),
    help="End of the silence, UTC.",
)
@click.option("--for", "duration", help="Duration: 90m, 12h, 3d, 2w; 0m ends a silence.")
@click.option("--by", default="", help="Who silences it.")
@click.pass_context
@errors_as_messages()
def silence(  # noqa: PLR0913 - one an option
    context: click.Context,
    *,
    alert_id: str | None,
    rule: str | None,
    until: datetime | None,
    duration: str | None,
    by: str,
) -> None:
    """Silence the alert ID or a rule: it sends no message and triggers no retraining."""
    if (alert_id is None) == (rule is None):
        raise ProjectError("Name an alert, or a rule with --rule.")
    now = datetime.now(UTC)
    end = acknowledgement.end_of_silence(until, duration, now)
    with _alert_tables(context) as alert_tables:
        alert_tables.silence(alert_id=alert_id, rule=rule, until=end, now=now, by=by)
    until_then = f"silenced until {end:%Y-%m-%d %H:%M} UTC" if end > now else "no longer silenced"
    click.echo(f"{alert_id or rule} is {until_then}.")
