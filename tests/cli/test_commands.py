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


def test_commands_for_databricks_load_without_the_packages_of_the_server() -> None:
    """And those of the server without Databricks' package: both are extras."""
    code = """if True:
        import importlib, sys
        from kedro.framework.project import configure_project
        sys.modules |= dict.fromkeys(["databricks.sdk", "deltalake", "duckdb", "orjson", "pyspark"])
        configure_project("marvel_kedro")
        for name in ("alerts", "deploy", "endpoint", "run", "serve"):
            importlib.import_module(f"marvel_kedro.cli.commands.{name}")
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
