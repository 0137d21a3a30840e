"""The project's commands, one file each.

- Kedro loads the group `cli` and, from a package, `run`.
- A command and its file have the same name, and this module exports the command by that name.
- All commands report errors through `error_handling`; `options` has the options that several share.
- The code behind a command is imported when it runs, so that `kedro --help` is quick.
"""

import click

from marvel_kedro.cli.alerts import alerts
from marvel_kedro.cli.demo import demo
from marvel_kedro.cli.deploy import deploy
from marvel_kedro.cli.endpoint import endpoint
from marvel_kedro.cli.run import run
from marvel_kedro.cli.serve import serve
from marvel_kedro.cli.traffic import traffic

__all__ = ["alerts", "cli", "demo", "deploy", "endpoint", "run", "serve", "traffic"]


@click.group(name="marvel_kedro")
def cli() -> None:
    """Commands of this project."""


for _command in (alerts, demo, deploy, endpoint, run, serve, traffic):
    cli.add_command(_command)
