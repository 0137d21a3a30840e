"""`kedro run`: Kedro's own command with checked options and readable errors."""

from typing import Any

import click
import mlflow
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import KedroCliError

from marvel_kedro.cli import options
from marvel_kedro.cli.error_handling import errors_as_messages
from marvel_kedro.databricks import session
from marvel_kedro.project import run_checks

assert kedro_run.callback is not None
_RUN = kedro_run.callback


@errors_as_messages("Interrupted. Run the same command again: nothing is half-written.")
def _run(**given: Any) -> Any:  # noqa: ANN401 - Kedro's own options and result
    try:
        run_checks.check_options(given)
        return _RUN(**given)
    except KeyboardInterrupt:
        # First, because MLflow reads a setting from the session, and Ctrl-C ended Sail, too.
        session.end()
        if mlflow.active_run():  # which would count as finished when the process ends
            mlflow.end_run("KILLED")
        raise


def _show_tracebacks(_: click.Context, __: click.Parameter, value: bool) -> None:
    KedroCliError.VERBOSE_ERROR = value


run: click.Command = options.with_parsed_params(kedro_run)
run.callback = _run
run.params.append(
    click.Option(
        ["--verbose", "-v"],
        is_flag=True,
        expose_value=False,
        callback=_show_tracebacks,
        help="Add the traceback to the message of an error.",
    )
)
