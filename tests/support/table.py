"""The table that the tests work on, whichever the project has adopted."""

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
import yaml

from marvel_kedro.table.description import TableSpec

from .project import ROOT

FILE = ROOT / "tests" / "table.yml"
"""A copy of the description that the project comes with."""

TABLE = TableSpec.model_validate(yaml.safe_load(FILE.read_text("utf-8"))["table"])
TEXT_COLUMNS = tuple(name for name, column in TABLE.inputs.items() if not column.is_number)
NUMBER_COLUMNS = tuple(name for name, column in TABLE.inputs.items() if column.is_number)

_OF_PROJECT = ROOT / "conf" / "base" / "table.yml"
needs_shipped_table = pytest.mark.skipif(
    yaml.safe_load(_OF_PROJECT.read_text("utf-8"))["table"]["name"] != TABLE.name,
    reason="conf/base/table.yml describes another table than the one that the project came with",
)


@cache
def configuration() -> Path:
    """Copy the project's configuration, with the table of the tests."""
    folder = Path(tempfile.mkdtemp(prefix="conf-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy_configuration(folder / "conf")
    return folder / "conf"


def copy_configuration(folder: Path) -> None:
    """Copy the configuration but `conf/local` to a new folder, with the table of the tests."""
    shutil.copytree(ROOT / "conf", folder, ignore=shutil.ignore_patterns("local"))
    (folder / "local").mkdir()
    shutil.copy(FILE, folder / "base" / "table.yml")
