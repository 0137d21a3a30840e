"""Project commands: `kedro run` that ends in one message where the user can mend the fault."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError

from marvel_kedro import run_checks
from marvel_kedro.databricks import session
from marvel_kedro.explain import explain

if TYPE_CHECKING:
    from marvel_kedro.parameters import Parameters

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended, by the shells' convention."""


assert kedro_run.callback is not None
_RUN = kedro_run.callback


@click.group(name="marvel_kedro")
def cli() -> None:
    """Commands of this project."""


def _run(**options: Any) -> Any:  # noqa: ANN401 - Kedro's own options and result
    try:
        with _in_words():
            run_checks.check_options(options)
            return _RUN(**options)
    except KeyboardInterrupt:
        session.end()  # first: MLflow would ask it for a setting, and Sail has heard Ctrl-C too
        _close_run("KILLED")
        click.secho("Interrupted. Run the same command again: nothing is half-written.", err=True)
        raise SystemExit(INTERRUPTED) from None


@contextmanager
def _in_words() -> Iterator[None]:
    """Turn a fault that the user can mend into its message."""
    try:
        yield
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise _FaultError(message) from error


def _close_run(status: str) -> None:
    """End the active MLflow run, which would count as finished when the process ends."""
    import mlflow  # noqa: PLC0415 - slow to import

    if mlflow.active_run():
        mlflow.end_run(status)


class _FaultError(KedroCliError):
    """A fault, shown as its message alone; `kedro --verbose run` adds the traceback."""

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's signature
        if self.VERBOSE_ERROR:
            super().show(file)
        click.ClickException.show(self, file)


run: click.Command = copy.copy(kedro_run)
run.callback = _run
cli.add_command(run)


def _configuration(env: str | None) -> "tuple[Parameters, dict[str, Any]]":
    """The checked parameters and the globals of an environment, without a session."""
    from kedro.framework.project import settings  # noqa: PLC0415 - known once configured
    from kedro.utils import find_kedro_project  # noqa: PLC0415 - for commands

    from marvel_kedro import parameters  # noqa: PLC0415 - imports every pipeline

    project = find_kedro_project(Path.cwd()) or Path.cwd()
    loader = settings.CONFIG_LOADER_CLASS(
        str(project / settings.CONF_SOURCE), env=env, **settings.CONFIG_LOADER_ARGS
    )
    return parameters.check(loader["parameters"]), loader["globals"]


@cli.command()
@click.option("--env", "-e", help="Environment of the parameters.")
@click.option("--url", help="Address of the endpoint; that of `kedro serve` if none is given.")
@click.option(
    "--rate", default=100.0, type=click.FloatRange(0, min_open=True), help="Requests a second."
)
@click.option("--requests", default=1000, help="Requests a simulated day.")
@click.option("--days", default=10, help="Simulated days.")
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The first one; by default the last one is yesterday.",
)
@click.option(
    "--scenario",
    default="none",
    help="Drift of the rows.",
    type=click.Choice(["none", "covariate", "prior", "concept"]),
)
@click.option("--magnitude", default=0.5, help="Size of the drift, from 0 to 1.")
@click.option("--drift-from-day", default=6, help="The first day that drifts, counted from 1.")
@click.option("--label-delay-days", default=1, help="Days until it is known who was alive.")
@click.option(
    "--labels-to",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Parquet file of the labels; the table `labels` if none is given.",
)
@click.option("--records", default=1, help="Characters a request.")
@click.option("--clients", default=1000, help="Distinct client_request_ids; 0 sends none.")
@click.option(
    "--connections",
    default=16,
    type=click.IntRange(1),
    help="Requests that may wait for an answer at once.",
)
@click.option("--seed", default=1, help="Other rows and clients; the same seed, the same bytes.")
def traffic(  # noqa: PLR0913 - one an option
    *,
    env: str | None,
    url: str | None,
    rate: float,
    start: datetime | None,
    scenario: str,
    magnitude: float,
    labels_to: Path | None,
    connections: int,
    **options: Any,  # noqa: ANN401 - those of `TrafficOptions`
) -> None:
    """Send made-up characters to an endpoint, over simulated days with drift and late labels.

    MARVEL_TOKEN is the bearer token, if the server wants one.
    """
    from marvel_kedro.traffic import command  # noqa: PLC0415 - slow to import

    try:
        with _in_words():
            parameters, names = _configuration(env)
            command.run(
                url=url or command.local_url(parameters.server, parameters.endpoint),
                token=os.environ.get("MARVEL_TOKEN"),
                rate=rate,
                connections=connections,
                labels_to=labels_to or Path(names["files"], "03_primary", "labels.parquet"),
                options=command.checked(
                    **options,
                    start=start.date() if start else None,
                    drift={"scenario": scenario, "magnitude": magnitude},
                    world=parameters.synthetic.seed,
                ),
            )
    except KeyboardInterrupt:
        raise SystemExit(INTERRUPTED) from None
