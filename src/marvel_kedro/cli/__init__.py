"""Project commands, one file each; each ends in one message where the user can mend a fault.

Kedro loads the group `cli` and, from a package, `run`. A command has the name of its file, and
here the name is the command's. `ending` is how all of them end, `options` and `store` are what
several need. What a command does is imported when it runs: `kedro --help` is not to wait for it.
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
