"""The commands of the project: where each is written, and what waits until one runs."""

import subprocess
import sys

import pytest

from marvel_kedro import cli


@pytest.mark.parametrize("name", sorted(cli.cli.commands))
def test_a_command_is_in_the_file_of_its_name(name: str) -> None:
    command = cli.cli.commands[name]
    assert getattr(cli, name) is command, "from marvel_kedro import cli: a command, not its file"
    assert command.callback
    assert command.callback.__module__ == f"marvel_kedro.cli.{name}"


def test_help_waits_for_nothing_that_a_command_needs() -> None:
    code = "import sys, marvel_kedro.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "kedro" in loaded
    assert not loaded & {"databricks", "mlflow", "numpy", "pandas", "pyarrow", "pyspark", "sklearn"}
