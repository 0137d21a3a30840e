"""The commands: their files, and the imports that wait until one runs."""

import importlib
import subprocess
import sys
from collections.abc import Iterator

import click
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


def test_each_command_with_an_environment_takes_a_configuration_source() -> None:
    def options(command: click.Command) -> Iterator[set[str]]:
        yield {str(parameter.name) for parameter in command.params}
        for nested in getattr(command, "commands", {}).values():
            yield from options(nested)

    for name in cli.cli.commands:
        command = getattr(importlib.import_module(f"marvel_kedro.cli.commands.{name}"), name)
        for found in options(command):
            assert ("env" in found) == ("conf_source" in found), name


def test_importing_the_commands_loads_no_heavy_library() -> None:
    """And not Kedro, which sets up logging when it is imported: a job says how before."""
    code = "import sys, marvel_kedro.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"click", "marvel_kedro"} <= loaded
    assert not loaded & {"databricks", "kedro", "mlflow", "numpy", "pandas", "pyarrow", "pyspark"}


SERVER = ["deltalake", "duckdb", "httptools", "orjson", "swagger_ui_bundle", "uvicorn", "uvloop"]
DATABRICKS = ["databricks.sdk", "pysail", "pyspark"]
COMMANDS = [f"marvel_kedro.cli.commands.{name}" for name in cli.cli.commands]
ENDPOINT = "marvel_kedro.databricks.endpoint"


@pytest.mark.parametrize(
    ("absent", "modules"),
    [
        pytest.param(SERVER + DATABRICKS, COMMANDS, id="every command"),
        pytest.param(SERVER, [f"{ENDPOINT}.deployment", f"{ENDPOINT}.traffic_shift"], id="deploy"),
    ],
)
def test_modules_load_without_the_packages_of_extras_that_they_do_not_use(
    absent: list[str], modules: list[str]
) -> None:
    code = f"""if True:
        import importlib, sys
        from kedro.framework.project import configure_project
        sys.modules |= dict.fromkeys({absent})
        configure_project("marvel_kedro")
        for name in {modules}:
            importlib.import_module(name)
    """
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
