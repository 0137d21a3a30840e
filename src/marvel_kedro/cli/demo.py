"""`kedro demo`: ten days in the life of a model."""

import sys
from pathlib import Path

import click

from marvel_kedro.cli.error_handling import errors_as_messages


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data", "demo"),
    show_default=True,
    help="Folder in which the demo creates a project of its own.",
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser at the end.")
def demo(folder: Path, *, show: bool) -> None:
    """Simulate ten days: calm, drift, an alert, a retraining, a promotion and recovery."""
    with errors_as_messages("Interrupted. The same command starts again from the beginning."):
        from rich.console import Console  # noqa: PLC0415 - when the command runs

        from marvel_kedro.characters.synthetic import CharacterWorld  # noqa: PLC0415
        from marvel_kedro.project import configuration  # noqa: PLC0415
        from marvel_kedro.simulation import demo as days  # noqa: PLC0415
        from marvel_kedro.simulation.demo_project import Settings  # noqa: PLC0415

        def read_settings() -> Settings:
            read = configuration.load()
            return Settings(read.description.endpoint, read.parameters.synthetic.seed)

        report = days.run(
            configuration.project_path(),
            folder,
            Console(file=sys.stdout),
            read_settings,
            CharacterWorld(),
        )
        if show:
            click.launch(str(report))
