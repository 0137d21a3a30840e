"""`kedro endpoint`: show what is served, and move traffic without a restart."""

import os
import time
from functools import partial

import click

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.serving.traffic_split import format_shares, shift_shares


@click.group()
def endpoint() -> None:
    """Show what is served, and move traffic without a restart."""


_target = click.option(
    "--target",
    type=click.Choice(["local", "databricks"]),
    default="local",
    show_default=True,
    help="local: every server of this registry. databricks: the endpoint of the workspace.",
)


class _Traffic:
    """The traffic of the endpoint, on local servers or on Databricks."""

    def __init__(self, env: str | None, target: str) -> None:
        from marvel_kedro.project import configuration  # noqa: PLC0415 - when the command runs

        self._on_databricks = target == "databricks"
        self._read = configuration.load(env or ("lakehouse" if self._on_databricks else None))
        self._endpoint = self._read.description.endpoint
        if self._on_databricks:
            from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the optional SDK
            from marvel_kedro.databricks.endpoint import traffic_shift as managed  # noqa: PLC0415

            client = workspace.connect()
            self._shares = partial(managed.current_shares, client, self._endpoint.name)
            self._shift = partial(managed.shift, client, self._endpoint)
        else:
            from marvel_kedro.serving import traffic_shift  # noqa: PLC0415 - imports MLflow

            configuration.use_store()
            self._shares = partial(traffic_shift.shares_to_shift, self._endpoint)
            self._shift = partial(traffic_shift.shift, self._endpoint)
            self._reset = partial(traffic_shift.reset, self._endpoint)

    def shift(self, entity: str, percent: int) -> None:
        self._print(self._shift(shift_shares(self._shares(), entity, percent)))

    def reset(self) -> None:
        configured = dict(self._endpoint.traffic)
        self._print(self._shift(configured) if self._on_databricks else self._reset())

    def show(self) -> None:
        from marvel_kedro.serving import status  # noqa: PLC0415 - imports MLflow

        server, token = self._read.description.server, os.environ.get("MARVEL_TOKEN")
        for line in [*status.served_lines(self._endpoint), *status.server_lines(server, token)]:
            click.echo(line)

    def _print(self, shares: dict[str, int]) -> None:
        click.echo(f"{self._endpoint.name}: {format_shares(shares)}")


@endpoint.command()
@options.env
def show(env: str | None) -> None:
    """Show the served versions and their traffic, configured here and on a running server."""
    with errors_as_messages("Interrupted."):
        _Traffic(env, "local").show()


@endpoint.command()
@click.argument("entity")
@click.argument("percent", type=click.IntRange(0, 100))
@options.env
@_target
def shift(entity: str, percent: int, env: str | None, target: str) -> None:
    """Give ENTITY PERCENT of the traffic; the others keep their proportions."""
    with errors_as_messages("Interrupted."):
        _Traffic(env, target).shift(entity, percent)


@endpoint.command()
@click.argument("entity")
@click.option("--steps", default="5,25,50,100", show_default=True, help="Percentages, by commas.")
@click.option("--minutes", default=10.0, show_default=True, help="Time between two steps.")
@options.env
@_target
def ramp(entity: str, steps: str, minutes: float, env: str | None, target: str) -> None:
    """Move traffic to ENTITY in steps.

    Ctrl-C stops at the current step; `kedro endpoint reset` restores the configured traffic.
    """
    with errors_as_messages("Stopped at the current step; kedro endpoint reset goes back."):
        try:
            shares = [int(step) for step in steps.split(",")]
        except ValueError:
            raise ProjectError(f"--steps {steps}: write percentages with commas.") from None
        if not all(0 <= share <= 100 for share in shares):  # noqa: PLR2004 - per cent
            raise ProjectError(f"--steps {steps}: percentages are from 0 to 100.")
        traffic = _Traffic(env, target)
        for number, share in enumerate(shares):
            if number:
                time.sleep(minutes * 60)
            traffic.shift(entity, share)


@endpoint.command()
@options.env
@_target
def reset(env: str | None, target: str) -> None:
    """Restore the traffic of the parameters at once."""
    with errors_as_messages("Interrupted."):
        _Traffic(env, target).reset()
