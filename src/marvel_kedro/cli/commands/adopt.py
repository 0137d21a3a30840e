"""`kedro adopt`: describe a file as the table that the project works on."""

from pathlib import Path
from typing import Any

import click
from rich import box
from rich.markup import escape
from rich.table import Table

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.core.rounding import rounded
from marvel_kedro.core.terminal import wide_enough
from marvel_kedro.project import adoption_paths
from marvel_kedro.table.adoption import writing
from marvel_kedro.table.adoption.kinds import example
from marvel_kedro.table.adoption.proposal import Choices, Proposal, propose

_MAX_LINES = 60
_WIDTH_OF_EXAMPLES = 110  # of a terminal that has room for them


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@options.env
@options.conf_source
@click.option("--key", help="The unique column; by default found by its name.")
@click.option("--target", help="The column to predict; by default found by name and values.")
@click.option("--positive", help="The class that counts; of several, against all others.")
@click.option("--drop", multiple=True, help="Leave a column out; may be repeated.")
@click.option("--name", help="Name of model, experiment and schema; by default that of the file.")
@click.option("--row", help="What a row is, such as customer, or mouse/mice.")
@click.option("--separator", help="The character between cells; by default found.")
@click.option("--encoding", help="The encoding of a CSV file; by default found.")
@click.option("--dry-run", is_flag=True, help="Print, and write nothing.")
@click.option("--force", is_flag=True, help="Replace another description, and another raw file.")
@errors_as_messages()
def adopt(
    file: Path,
    *,
    env: str | None,
    conf_source: str | None,
    dry_run: bool,
    force: bool,
    **given: Any,  # noqa: ANN401 - the choices
) -> None:
    """Describe a file as the table that the project works on, in conf/base/table.yml.

    FILE is CSV (also .gz), Parquet or Excel. It is copied to data/01_raw if it is elsewhere.
    """
    paths = adoption_paths.find(env, conf_source)
    place = writing.place_for(file, paths.raw)
    choices = Choices(**given)
    proposal = propose(file, place.relative_to(paths.raw).as_posix(), choices)
    _show(proposal)
    if dry_run:
        click.echo("\nNothing is written (--dry-run). The description would be:\n")
        click.echo(proposal.text)
        return
    if not force:
        writing.check_replaceable(paths.description, proposal.text)
        writing.check_place(file, place)
    if place.resolve() != file.resolve():
        writing.copy(file, place)
        click.echo(f"\nCopied {file} to {paths.shown(place)}.")
    writing.write(paths.description, proposal.text)
    click.echo(f"Wrote {paths.shown(paths.description)}: check it, and correct it where needed.")
    for line in [*paths.hints(), "Next: make run, then make serve or make lakehouse."]:
        click.echo(line)


def _show(proposal: Proposal) -> None:
    click.echo(f"{proposal.file}\n")
    console = wide_enough()
    has_examples = console.width >= _WIDTH_OF_EXAMPLES
    heads = ("column", "kind", "why", "distinct", "missing", "examples")
    table = Table(*heads[: 6 if has_examples else 5], box=box.SIMPLE_HEAD, pad_edge=False)
    table.columns[0].ratio, table.columns[2].ratio = 2, 3
    for column in proposal.columns[:_MAX_LINES]:
        source = f" ({column.source})" if column.source != column.name else ""
        cells = [
            *map(escape, (f"{column.name}{source}", column.kind, column.why)),
            f"{column.distinct:,}",
            rounded(column.missing, ".0%") if column.missing else "",
            escape(", ".join(map(example, column.examples))),
        ]
        table.add_row(*cells[: len(table.columns)])
    console.print(table)
    if (more := len(proposal.columns) - _MAX_LINES) > 0:
        click.echo(f".. and {more:,} more columns")
    target = proposal.spec.target
    click.echo(
        f"\n{proposal.spec.name}: predicts {proposal.spec.source(target.column)} "
        f"({target.positive} or {target.other}) of a {proposal.spec.row.one}."
    )
    for note in proposal.notes:
        click.echo(f"- {note}")
