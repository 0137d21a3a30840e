"""Find the module of further features that a table description names."""

import ast
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.portable.features import Floats
from marvel_kedro.model.portable.predictor import OWN_CODE_FILE, TabularModel
from marvel_kedro.table.description import TableSpec

INSTALLED_WITH_MODELS = frozenset({"numpy", "pandas"})


def read(table: TableSpec) -> dict[str, str]:
    """Return the source of the module by the name of its file in a model; nothing without one.

    Raises:
        ProjectError: There is no such module, or it imports what a model does not bring along.
    """
    if table.features is None:
        return {}
    source = _source(table.features)
    try:
        others = _imports(source) - sys.stdlib_module_names - INSTALLED_WITH_MODELS
    except SyntaxError as error:
        raise ProjectError(f"{table.features}, line {error.lineno}: {error.msg}") from error
    if others:
        raise ProjectError(
            f"{table.features} imports {', '.join(sorted(others))}. It is saved with the model, "
            "which loads without this project: use Python's own modules, numpy and pandas only."
        )
    return {OWN_CODE_FILE: source}


def encode(model: TabularModel, rows: pd.DataFrame, table: TableSpec) -> Floats:
    """Encode the training rows; name the module if a function of it fails.

    Raises:
        ProjectError: A function reads a column that the model lacks, or raises an error.
    """
    try:
        return model.features.encode(rows)
    except Exception as error:  # whatever that module raises
        if table.features is None:
            raise
        raise ProjectError(f"{table.features}: {type(error).__name__}: {error}") from error


def _source(name: str) -> str:
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise ProjectError(
            f"table.features is {name}, and there is no such module: write one with a function for "
            "each feature, or remove the key (docs/own-data.md)."
        )
    return Path(spec.origin).read_text("utf-8")


def _imports(source: str) -> set[str]:
    """Return the packages that a source imports; `.` for one beside it."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." if node.level or not node.module else node.module.partition(".")[0])
    return found
