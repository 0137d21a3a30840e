"""What monitoring measures and tests by default: the inputs of the model, by their kind."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from marvel_kedro.table.description import Column, TableSpec

_NEVER_TESTED = {"set", "id", "date"}
"""Rare items of sets come in clusters, and new ids and dates go on: both would look like drift."""


def monitored(table: Mapping[str, Any], what: Literal["columns", "tested"]) -> Any:  # noqa: ANN401
    """Return the measured columns with their kinds, or the tested ones.

    For a wrong description, which the check of all parameters reports, these are the fewest.
    """
    try:
        inputs = TableSpec.model_validate(table).inputs
    except ValidationError:
        inputs = {}
    if what == "tested":
        return [name for name, column in inputs.items() if column.kind not in _NEVER_TESTED]
    kinds = {name: _kind(column) for name, column in inputs.items()}
    return kinds | {"prediction": "category", "probability": "number"}


def _kind(column: Column) -> str:
    """Return how a column is measured: ids, and text that the model does not use, by length."""
    if column.is_number:
        return "number"
    by_length = column.kind == "id" or (column.kind == "text" and not column.feature)
    return "text" if by_length else "category"
