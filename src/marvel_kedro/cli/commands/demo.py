"""`kedro demo`: ten days in the life of a model."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.core.terminal import wide_enough
from marvel_kedro.project import configuration, simulated_world

if TYPE_CHECKING:
    from marvel_kedro.simulation.demo_project import Settings


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data", "demo"),
    show_default=True,
    help="Folder in which the demo creates a project of its own.",
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser at the end.")
@errors_as_messages("Interrupted. The same command starts again from the beginning.")
def demo(folder: Path, *, show: bool) -> None:
    """Simulate ten days: drift, an alert, a retraining, an A/B test, a promotion and recovery."""
    from marvel_kedro.simulation import demo as days  # noqa: PLC0415 - the extra `server`
    from marvel_kedro.simulation.demo_project import Readers  # noqa: PLC0415 - as above

    read = Readers(_settings, lambda: simulated_world.find_world(configuration.load()))
    report = days.run(configuration.project_path(), folder, wide_enough(), read)
    if show:
        click.launch(str(report))


def _settings() -> "Settings":
    from marvel_kedro.simulation.demo_project import Settings  # noqa: PLC0415 - as above

    read = configuration.load()
    return Settings(
        endpoint=read.description.endpoint,
        world_seed=read.parameters.synthetic.seed,
        table=read.parameters.table,
        raw_table=read.entry("raw_table"),
    )
