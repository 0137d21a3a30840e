"""`kedro endpoint`: show what is served, and move traffic without a restart."""

import os
import time
from functools import partial

import click

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.project import configuration
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

    def __init__(self, env: str | None, conf_source: str | None, target: str) -> None:
        default = "lakehouse" if target == "databricks" else None
        self._endpoint = configuration.load(env or default, conf_source).description.endpoint
        if target == "databricks":
            from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the extra of that name
            from marvel_kedro.databricks.endpoint import traffic_shift as managed  # noqa: PLC0415

            client = workspace.connect()
            self._shares = partial(managed.current_shares, client, self._endpoint.name)
            self._shift = partial(managed.shift, client, self._endpoint)
            self._reset = partial(self._shift, dict(self._endpoint.traffic))
        else:
            from marvel_kedro.serving import traffic_shift  # noqa: PLC0415 - the extra `server`

            configuration.use_store()
            self._shares = partial(traffic_shift.shares_to_shift, self._endpoint)
            self._shift = partial(traffic_shift.shift, self._endpoint)
            self._reset = partial(traffic_shift.reset, self._endpoint)

    def shift(self, entity: str, percent: int) -> None:
        shares = self._shift(shift_shares(self._shares(), entity, percent))
        click.echo(f"{self._endpoint.name}: {format_shares(shares)}")

    def reset(self) -> None:
        click.echo(f"{self._endpoint.name}: {format_shares(self._reset())}")


@endpoint.command()
@options.env
@options.conf_source
@errors_as_messages()
def show(env: str | None, conf_source: str | None) -> None:
    """Show the served versions and their traffic, configured here and on a running server."""
    from marvel_kedro.serving import status  # noqa: PLC0415 - the extra `server`

    described = configuration.load(env, conf_source).description
    configuration.use_store()
    served = status.served_lines(described.endpoint)
    for line in [*served, *status.server_lines(described.server, os.environ.get("MARVEL_TOKEN"))]:
        click.echo(line)


@endpoint.command()
@click.argument("entity")
@click.argument("percent", type=click.IntRange(0, 100))
@options.env
@options.conf_source
@_target
@errors_as_messages()
def shift(entity: str, percent: int, env: str | None, conf_source: str | None, target: str) -> None:
    """Give ENTITY PERCENT of the traffic; the others keep their proportions."""
    _Traffic(env, conf_source, target).shift(entity, percent)


@endpoint.command()
@click.argument("entity")
@click.option("--steps", default="5,25,50,100", show_default=True, help="Percentages, by commas.")
@click.option(
    "--minutes",
    default=10.0,
    type=options.Number(min=0),
    show_default=True,
    help="Time between two steps.",
)
@options.env
@options.conf_source
@_target
@errors_as_messages("Stopped at the current step; kedro endpoint reset goes back.")
def ramp(  # noqa: PLR0913, PLR0917 - one an option
    entity: str, steps: str, minutes: float, env: str | None, conf_source: str | None, target: str
) -> None:
    """Move traffic to ENTITY in steps.

    Ctrl-C stops at the current step; `kedro endpoint reset` restores the configured traffic.
    """
    try:
        shares = [int(step) for step in steps.split(",")]
    except ValueError:
        raise ProjectError(f"--steps {steps}: write percentages with commas.") from None
    if not all(0 <= share <= 100 for share in shares):  # noqa: PLR2004 - per cent
        raise ProjectError(f"--steps {steps}: percentages are from 0 to 100.")
    traffic = _Traffic(env, conf_source, target)
    for number, share in enumerate(shares):
        if number:
            time.sleep(minutes * 60)
        traffic.shift(entity, share)


@endpoint.command()
@options.env
@options.conf_source
@_target
@errors_as_messages()
def reset(env: str | None, conf_source: str | None, target: str) -> None:
    """Restore the traffic of the parameters at once."""
    _Traffic(env, conf_source, target).reset()
