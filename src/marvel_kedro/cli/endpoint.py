"""`kedro endpoint`: what is served, and traffic that moves while it is."""

import os
import time

import click

from marvel_kedro.cli import options, store
from marvel_kedro.cli.error_handling import told
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.traffic_split import format_shares, shift_shares


@click.group()
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
        from marvel_kedro.project import configuration  # noqa: PLC0415 - for commands

        databricks = target == "databricks"
        self.read = configuration.load(env or ("lakehouse" if databricks else None))
        self.asked = self.read.description.endpoint
        self._databricks = databricks
        if not databricks:
            store.use()

    def shares(self) -> dict[str, int]:
        """The shares that hold now, where they hold."""
        if self._databricks:
            from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the SDK
            from marvel_kedro.databricks.endpoint import traffic_shift as on_databricks  # noqa: PLC0415

            return on_databricks.current_shares(workspace.connect(), self.asked.name)
        from marvel_kedro.serving import traffic_shift  # noqa: PLC0415 - imports MLflow

        return traffic_shift.shares_to_shift(self.asked)

    def move(self, shares: dict[str, int]) -> None:
        if self._databricks:
            from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the SDK
            from marvel_kedro.databricks.endpoint import traffic_shift as on_databricks  # noqa: PLC0415

            shares = on_databricks.shift(workspace.connect(), self.asked, shares)
        else:
            from marvel_kedro.serving import traffic_shift  # noqa: PLC0415 - imports MLflow

            shares = traffic_shift.shift(self.asked, shares)
        self.say(shares)

    def reset(self) -> None:
        if self._databricks:
            self.move(dict(self.asked.traffic))
        else:
            from marvel_kedro.serving import traffic_shift  # noqa: PLC0415 - imports MLflow

            self.say(traffic_shift.reset(self.asked))

    def say(self, shares: dict[str, int]) -> None:
        click.echo(f"{self.asked.name}: {format_shares(shares)}")


@endpoint.command()
@options.env
def show(env: str | None) -> None:
    """Say which versions are served, with which shares, here and by a server that runs."""
    with told("Interrupted."):
        from marvel_kedro.serving import status  # noqa: PLC0415 - imports MLflow

        where = _Traffic(env, "local")
        for line in status.served_lines(where.asked):
            click.echo(line)
        for line in status.server_lines(
            where.read.description.server, os.environ.get("MARVEL_TOKEN")
        ):
            click.echo(line)


@endpoint.command()
@click.argument("entity")
@click.argument("percent", type=click.IntRange(0, 100))
@options.env
@_target
def shift(entity: str, percent: int, env: str | None, target: str) -> None:
    """Give ENTITY PERCENT of the traffic; the others share the rest as they did."""
    with told("Interrupted."):
        where = _Traffic(env, target)
        where.move(shift_shares(where.shares(), entity, percent))


@endpoint.command()
@click.argument("entity")
@click.option("--steps", default="5,25,50,100", show_default=True, help="Percentages, by commas.")
@click.option("--minutes", default=10.0, show_default=True, help="Between two steps.")
@options.env
@_target
def ramp(entity: str, steps: str, minutes: float, env: str | None, target: str) -> None:
    """Move traffic to ENTITY in steps.

    Ctrl-C stops where it is; `kedro endpoint reset` goes back.
    """
    with told("Stopped where it is; kedro endpoint reset goes back."):
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
            where.move(shift_shares(where.shares(), entity, share))


@endpoint.command()
@options.env
@_target
def reset(env: str | None, target: str) -> None:
    """Go back to the traffic of the parameters, at once."""
    with told("Interrupted."):
        _Traffic(env, target).reset()
