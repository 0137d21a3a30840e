"""Command endings: one message for errors that the user can fix and for Ctrl-C."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from kedro.framework.cli.utils import KedroCliError

from marvel_kedro.project.error_messages import explain


@contextmanager
def errors_as_messages(interrupted: str = "Interrupted.") -> Iterator[None]:
    """End the process with one message: of an error that the user can fix, or after Ctrl-C."""
    try:
        yield
    except KeyboardInterrupt:
        click.secho(interrupted, err=True)
        raise SystemExit(130) from None  # the shells' status of what Ctrl-C ended
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise _ExplainedError(message) from error


class _ExplainedError(KedroCliError):
    """An error that shows only its message; `kedro run --verbose` adds the traceback."""

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's signature
        if self.VERBOSE_ERROR and self.__cause__:
            click.echo("".join(traceback.format_exception(self.__cause__)), file=file, err=True)
        click.ClickException.show(self, file)
