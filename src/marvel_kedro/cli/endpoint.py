"""`kedro endpoint`: show what is served, and move traffic without a restart."""

import os
import time
from typing import Any

import click

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.core.errors import ProjectError


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
        from marvel_kedro.serving import traffic_split  # noqa: PLC0415

        on_databricks = target == "databricks"
        self._read = configuration.load(env or ("lakehouse" if on_databricks else None))
        self._endpoint = self._read.description.endpoint
        self._split = traffic_split
        self._client: Any = None
        if on_databricks:
            from marvel_kedro.databricks import workspace  # noqa: PLC0415 - the optional SDK
            from marvel_kedro.databricks.endpoint import shifting  # noqa: PLC0415

            self._client, self._shifting = workspace.connect(), shifting
        else:
            configuration.use_store()

    def shift(self, entity: str, percent: int) -> None:
        if self._client:
            shares = self._shifting.served_traffic(self._client, self._endpoint.name)
        else:
            shares = self._split.shares_to_move(self._endpoint)
        self._move(self._split.shifted(shares, entity, percent))

    def reset(self) -> None:
        if self._client:
            self._move(dict(self._endpoint.traffic))
        else:
            self._print(self._split.reset(self._endpoint))

    def show(self) -> None:
        server, token = self._read.description.server, os.environ.get("MARVEL_TOKEN")
        for line in [*self._split.lines(self._endpoint), *self._split.running(server, token)]:
            click.echo(line)

    def _move(self, shares: dict[str, int]) -> None:
        if self._client:
            shares = self._shifting.shift(self._client, self._endpoint, shares)
        else:
            shares = self._split.shift(self._endpoint, shares)
        self._print(shares)

    def _print(self, shares: dict[str, int]) -> None:
        split = ", ".join(f"{name} {share} %" for name, share in shares.items())
        click.echo(f"{self._endpoint.name}: {split}")


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
