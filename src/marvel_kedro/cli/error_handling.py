"""How a command ends: in one message, where the user can mend the fault or has stopped it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from kedro.framework.cli.utils import KedroCliError

from marvel_kedro.project.error_messages import explain

INTERRUPTED = 130
"""The exit status of a process that Ctrl-C ended, by the shells' convention."""


@contextmanager
def told(interrupted: str) -> Iterator[None]:
    """End the process with one message, where the user can mend the fault or has stopped it."""
    try:
        yield
    except KeyboardInterrupt:
        click.secho(interrupted, err=True)
        raise SystemExit(INTERRUPTED) from None
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        raise _FaultError(message) from error


class _FaultError(KedroCliError):
    """A fault, shown as its message alone; `kedro --verbose run` adds the traceback."""

    def show(self, file: Any = None) -> None:  # noqa: ANN401 - click's signature
        if self.VERBOSE_ERROR:
            super().show(file)
        click.ClickException.show(self, file)
