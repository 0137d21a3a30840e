"""The project's commands, listed without importing their files, so that `kedro --help` is quick.

Kedro loads the group `cli` and, from a package, `run`. Each command is defined in the file of its
name in `commands/`, and reports errors through `error_handling`.
"""

import importlib
from typing import Any

import click


class LazyCommand(click.Command):
    """A command whose file is imported when its arguments are parsed."""

    def make_context(self, *args: Any, **options: Any) -> click.Context:  # noqa: ANN401 - click's
        """Import the command, and parse its arguments."""
        # Here, since it imports Kedro, which sets up logging: a job must say how before.
        from marvel_kedro.cli.error_handling import errors_as_messages  # noqa: PLC0415

        with errors_as_messages():
            file = importlib.import_module(f"marvel_kedro.cli.commands.{self.name}")
        return getattr(file, str(self.name)).make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        """Run the command that was imported."""
        return ctx.command.invoke(ctx)


_COMMANDS = {
    "adopt": "Describe a file as the table that the project works on, in conf/base/table.yml.",
    "alerts": "List the alerts of monitoring; acknowledge or silence one.",
    "demo": "Simulate ten days: drift, an alert, a retraining, an A/B test, a promotion and "
    "recovery.",
    "deploy": "Serve what the parameter section `endpoint` describes.",
    "endpoint": "Show what is served, and move traffic without a restart.",
    "run": "Run the pipeline.",
    "serve": "Serve the model over HTTP, as the parameter sections `endpoint` and `server` "
    "describe.",
    "traffic": "Send records of the table to an endpoint, over simulated days with drift and late "
    "labels.",
}
"""First sentence of the help, by command."""

cli = click.Group(
    "marvel_kedro",
    commands=[LazyCommand(name, help=text) for name, text in _COMMANDS.items()],
    help="Commands of this project.",
)
adopt, alerts, demo, deploy, endpoint, run, serve, traffic = cli.commands.values()
