"""`kedro demo`: ten days of a model's life."""

import sys
from pathlib import Path

import click

from marvel_kedro.cli.error_handling import told


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data", "demo"),
    show_default=True,
    help="Where the demo's own project is made.",
)
@click.option("--open", "show", is_flag=True, help="Open the report in the browser at the end.")
def demo(folder: Path, *, show: bool) -> None:
    """Simulate ten days: calm, drift, an alert, a retraining, a promotion, and quality back."""
    with told("Interrupted. The same command begins anew."):
        from rich.console import Console  # noqa: PLC0415 - for commands

        from marvel_kedro.characters.synthetic import CharacterWorld  # noqa: PLC0415 - slow to import
        from marvel_kedro.project import configuration  # noqa: PLC0415 - for commands
        from marvel_kedro.simulation import demo as days  # noqa: PLC0415 - slow to import
        from marvel_kedro.simulation.demo_project import Settings  # noqa: PLC0415 - slow to import

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
