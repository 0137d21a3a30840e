"""The commands: their files, and the imports that wait until one runs."""

import importlib
import subprocess
import sys

import pytest

from marvel_kedro import cli


@pytest.mark.parametrize("name", sorted(cli.cli.commands))
def test_command_and_its_file_have_the_same_name_and_help(name: str) -> None:
    listed = cli.cli.commands[name]
    file = importlib.import_module(f"marvel_kedro.cli.commands.{name}")
    assert getattr(cli, name) is listed, "from marvel_kedro import cli: a command, not its file"
    command = getattr(file, name)
    assert command.name == name
    assert command.callback
    assert command.callback.__module__ == file.__name__
    assert listed.help
    assert " ".join(str(command.help).split()).startswith(listed.help)


def test_importing_the_commands_loads_no_heavy_library() -> None:
    code = "import sys, marvel_kedro.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "kedro" in loaded
    assert not loaded & {"databricks", "mlflow", "numpy", "pandas", "pyarrow", "pyspark", "sklearn"}
