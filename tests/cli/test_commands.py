"""The commands: their files, and the imports that wait until one runs."""

import importlib
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from marvel_kedro import cli
from marvel_kedro.cli import options


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


def every_command(command: click.Command) -> Iterator[click.Command]:
    yield command
    for nested in getattr(command, "commands", {}).values():
        yield from every_command(nested)


@pytest.mark.parametrize("name", sorted(cli.cli.commands))
def test_each_command_takes_a_configuration_source_and_finite_numbers(name: str) -> None:
    file = importlib.import_module(f"marvel_kedro.cli.commands.{name}")
    for command in every_command(getattr(file, name)):
        found = {str(option.name): option.type for option in command.params}
        assert ("env" in found) == ("conf_source" in found), command.name
        for option, kind in found.items():
            if isinstance(kind, (click.types.FloatParamType, click.FloatRange)):
                with pytest.raises(click.BadParameter, match="nan is not a finite number"):
                    kind("nan")
                assert isinstance(kind, options.Number), option


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
