"""Project commands: `kedro run` that ends in one message where the user can mend the fault."""

import copy
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError

from marvel_kedro import run_checks
from marvel_kedro.databricks import session
from marvel_kedro.explain import explain

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended, by the shells' convention."""


assert kedro_run.callback is not None
_RUN = kedro_run.callback


@click.group(name="marvel_kedro")
def cli() -> None:
    """Commands of this project."""


def _run(**options: Any) -> Any:  # noqa: ANN401 - Kedro's own options and result
    try:
        run_checks.check_options(options)
        return _RUN(**options)
    except KeyboardInterrupt:
        session.end()  # first: MLflow would ask it for a setting, and Sail has heard Ctrl-C too
        _close_run("KILLED")
        click.secho("Interrupted. Run the same command again: nothing is half-written.", err=True)
        raise SystemExit(INTERRUPTED) from None
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
