"""`kedro endpoint`: what is served, and traffic that moves while it is."""

import os
import time

import click

from marvel_kedro.cli import options, store
from marvel_kedro.cli.error_handling import told
from marvel_kedro.core.errors import ProjectError


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
            from marvel_kedro.databricks.endpoint import shifting  # noqa: PLC0415 - likewise

            return shifting.served_traffic(workspace.connect(), self.asked.name)
        from marvel_kedro.serving import traffic_split  # noqa: PLC0415 - imports MLflow

        return traffic_split.shares_to_move(self.asked)

    def move(self, shares: dict[str, int]) -> None:
        if self._databricks:
            from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the SDK
            from marvel_kedro.databricks.endpoint import shifting  # noqa: PLC0415 - likewise

            shares = shifting.shift(workspace.connect(), self.asked, shares)
        else:
            from marvel_kedro.serving import traffic_split  # noqa: PLC0415 - imports MLflow

            shares = traffic_split.shift(self.asked, shares)
        self.say(shares)

    def reset(self) -> None:
        if self._databricks:
            self.move(dict(self.asked.traffic))
        else:
            from marvel_kedro.serving import traffic_split  # noqa: PLC0415 - imports MLflow

            self.say(traffic_split.reset(self.asked))

    def say(self, shares: dict[str, int]) -> None:
        said = ", ".join(f"{name} {share} %" for name, share in shares.items())
        click.echo(f"{self.asked.name}: {said}")


@endpoint.command()
@options.env
def show(env: str | None) -> None:
    """Say which versions are served, with which shares, here and by a server that runs."""
    with told("Interrupted."):
        from marvel_kedro.serving import traffic_split  # noqa: PLC0415 - imports MLflow

        where = _Traffic(env, "local")
        for line in traffic_split.lines(where.asked):
            click.echo(line)
        for line in traffic_split.running(
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
        from marvel_kedro.serving import traffic_split  # noqa: PLC0415 - imports MLflow

        where = _Traffic(env, target)
        where.move(traffic_split.shifted(where.shares(), entity, percent))


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
        from marvel_kedro.serving import traffic_split  # noqa: PLC0415 - imports MLflow

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
            where.move(traffic_split.shifted(where.shares(), entity, share))


@endpoint.command()
@options.env
@_target
def reset(env: str | None, target: str) -> None:
    """Go back to the traffic of the parameters, at once."""
    with told("Interrupted."):
        _Traffic(env, target).reset()
