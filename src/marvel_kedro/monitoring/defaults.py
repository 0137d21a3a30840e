"""What monitoring measures and tests by default: the inputs of the model, by their kind."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from marvel_kedro.table.description import Column, TableSpec
from marvel_kedro.table.slices import parse

_NEVER_TESTED = {"set", "id", "date"}
"""Rare items of sets come in clusters, and new ids and dates go on: both would look like drift."""


def measured_columns(table: Mapping[str, Any]) -> dict[str, str]:
    """Return the measured columns with their kinds."""
    kinds = {name: _kind(column) for name, column in _inputs(table).items()}
    return kinds | {"prediction": "category", "probability": "number"}


def tested_columns(table: Mapping[str, Any]) -> list[str]:
    """Return the inputs whose drift is tested."""
    return [name for name, column in _inputs(table).items() if column.kind not in _NEVER_TESTED]


def measured_slices(table: Mapping[str, Any]) -> list[str]:
    """Return the slices of the description that the inference log can have: those of inputs."""
    try:
        found = TableSpec.model_validate(table)
    except ValidationError:
        return []
    texts = found.slices
    if texts is None:
        texts = tuple(each.column for each in found.slices_by_name.values())
    return [text for text in texts if parse(text).column in found.inputs]


def _inputs(table: Mapping[str, Any]) -> dict[str, Column]:
    """Return the inputs; none of a wrong description, which the check of parameters reports."""
    try:
        return TableSpec.model_validate(table).inputs
    except ValidationError:
        return {}


def _kind(column: Column) -> str:
    """Return how a column is measured: ids, and text that the model does not use, by length."""
    if column.is_number:
        return "number"
    by_length = column.kind == "id" or (column.kind == "text" and not column.feature)
    return "text" if by_length else "category"
