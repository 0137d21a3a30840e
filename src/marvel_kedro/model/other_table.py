"""Compare the table that a registered model was fitted to with the described one."""

from typing import Any

from mlflow.types import DataType

from marvel_kedro.model.registry import RegisteredModel
from marvel_kedro.table.description import Column, TableSpec


def difference(model: RegisteredModel, table: TableSpec) -> str:
    """Describe the difference between a model's table and the described one; empty without one.

    A model of this project has the description that it was fitted with. Of one without it only the
    signature is compared.
    """
    metadata = model.pyfunc.metadata
    described = (metadata.metadata or {}).get("table") or {}
    found = _question(described, table)
    found = found or _inputs(metadata.get_input_schema(), table)
    found = found or _columns(described.get("columns") or {}, table)
    if not found and model.split and model.split.column not in table.columns:
        found = f"its rows were split by {model.split.column}, which {table.name} lacks"
    return f"version {model.version} is of another table: {found}" if found else ""


def _question(described: dict[str, Any], table: TableSpec) -> str:
    if not described:
        return ""
    before, now = described.get("target") or {}, table.target
    other = before.get("negative") or f"not {before.get('positive')}"
    asked = (before.get("column"), before.get("positive"), other)
    asks = (now.column, *now.classes)
    if asked != asks:
        text = "{} ({} or {})"
        return f"it predicts {text.format(*asked)}, not {text.format(*asks)}"
    if (before.get("words") or {}) != now.words:
        return f"its classes {asks[1]} and {asks[2]} stand for other words of the source"
    if described.get("key") != table.key:
        return f"its key is {described.get('key')}, not {table.key}"
    return ""


def _columns(columns: dict[str, Any], table: TableSpec) -> str:
    if not columns:
        return ""
    if table.made_from and set(table.made_from) != _made_from(columns):
        return f"its key {table.key} was made of other columns, so known rows seem to be new ones"
    for name in sorted(columns.keys() & table.inputs.keys()):
        for option in ("unit", "format", "separator"):
            then = columns[name].get(option, Column.model_fields[option].default)
            today = getattr(table.columns[name], option)
            if then != today:
                return f"{option} of {name} is {today} in {table.name}, and was {then}"
    return ""


def _made_from(columns: dict[str, Any]) -> set[str]:
    """Return the columns in the file; MLflow does not keep their order."""
    return {
        column.get("source") or name
        for name, column in columns.items()
        if not column.get("row_hash")
    }


def _inputs(schema: Any, table: TableSpec) -> str:  # noqa: ANN401 - MLflow's, or None
    """Compare the inputs of a signature: text must be text, and numbers numbers."""
    if schema is None or not schema.has_input_names():
        return "it has no signature with names of columns"
    for each in schema.inputs:
        if each.name not in table.columns:
            return f"it takes {each.name}, which {table.name} lacks"
        is_number = each.type != DataType.string
        if is_number != table.columns[each.name].is_number:
            kind = "a number" if is_number else "text"
            return (
                f"it takes {each.name} as {kind}, which is of the kind "
                f"{table.columns[each.name].kind} in {table.name}"
            )
    return ""
