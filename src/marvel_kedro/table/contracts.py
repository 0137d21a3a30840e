"""Contracts of the tables: columns, types, rules and descriptions, made from `TableSpec`.

Kedro checks them when it loads and saves local tables. `databricks/contract.py` checks those of the
lakehouse, and creates its tables with these descriptions as column comments.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import pandera.pandas as pa
from kedro.validation.pandera_validator import PanderaValidator

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.table.description import REMEDY, Column, TableSpec
from marvel_kedro.table.slices import Slice

Columns = dict[str, pa.Column]

CHANGES_WITH_DESCRIPTION = frozenset({"TestScores"})
"""Contracts of small results that are replaced whole, also by a table of other columns."""
ContractName = Literal["SourceRows", "Records", "TestScores", "Predictions"]

_TIME = "datetime64[us, UTC]"


def schema(contract: ContractName, table: TableSpec) -> pa.DataFrameSchema:
    """Return the contract of a table: exactly its columns, and the meaning of a row.

    Raises:
        ProjectError: There is no such contract.
    """
    if contract not in _CONTRACTS:
        raise ProjectError(
            f"There is no contract {contract} for the catalog: write one of "
            f"{', '.join(_CONTRACTS)} (src/marvel_kedro/table/contracts.py)."
        )
    meaning, columns = _CONTRACTS[contract](table)
    return pa.DataFrameSchema(columns, strict=True, name=contract, description=meaning)


class TableContract(PanderaValidator):
    """The validator of a catalog entry, with the options `contract` and `table`."""

    def __init__(self, contract: str, table: Mapping[str, Any]) -> None:
        spec = validate(TableSpec, table, REMEDY)
        super().__init__(schema(cast("ContractName", contract), spec))


def _source_rows(table: TableSpec) -> tuple[str, Columns]:
    columns = {
        name: _text(f"{_meaning(column)}, as written") for name, column in table.columns.items()
    }
    columns["reason"] = _text("Reason why the row is rejected; null if it is usable")
    return "One row per row of the raw file, with the reason if it is rejected.", columns


def _records(table: TableSpec) -> tuple[str, Columns]:
    columns = {name: _value(column) for name, column in table.columns.items()}
    columns[table.key] = _key(table)
    columns[table.target.column] = _classes(table, _meaning(table.columns[table.target.column]))
    return f"One row per {table.row.one}; text is null where the source is empty.", columns


def _test_scores(table: TableSpec) -> tuple[str, Columns]:
    positive = table.target.positive
    columns = {
        **{name: _column(str, _slice(each, table)) for name, each in table.slices_by_name.items()},
        table.key: _key(table),
        table.target.column: _column(bool, f"Whether it is {positive}"),
        "candidate": _probability("By the candidate"),
        "logistic_regression": _probability("By a logistic regression"),
        "constant": _probability(f"The share of {positive} in the training rows"),
        "champion": _probability(
            "By the champion; null without one of this table and for rows it was trained on",
            nullable=True,
        ),
    }
    return f"One row per test row: probabilities of {positive} by each model.", columns


def _predictions(table: TableSpec) -> tuple[str, Columns]:
    columns = {
        table.key: _key(table),
        "prediction": _classes(table, " or ".join(table.target.classes)),
        "probability": _probability(f"Probability of {table.target.positive}"),
        "model_name": _column(str, "Registered model that scored the row"),
        "model_version": _column(str, "Version of that model"),
        "scored_at": _column(_TIME, "Time at which the row was scored"),
    }
    return f"One row per scored {table.row.one}.", columns


_CONTRACTS: dict[str, Callable[[TableSpec], tuple[str, Columns]]] = {
    "SourceRows": _source_rows,
    "Records": _records,
    "TestScores": _test_scores,
    "Predictions": _predictions,
}


def _column(kind: Any, meaning: str, *checks: pa.Check, **rules: Any) -> pa.Column:  # noqa: ANN401 - any type
    return pa.Column(kind, list(checks), description=meaning, **rules)


def _text(meaning: str) -> pa.Column:
    return _column(str, meaning, nullable=True)


def _probability(meaning: str, *, nullable: bool = False) -> pa.Column:
    return _column(float, meaning, pa.Check.ge(0), pa.Check.le(1), nullable=nullable)


def _key(table: TableSpec) -> pa.Column:
    return _column(str, f"{_meaning(table.columns[table.key])}; the key", unique=True)


def _slice(each: Slice, table: TableSpec) -> str:
    if each.value is None:
        return f"Slice: {_meaning(table.columns[each.column])}; rare values are Other"
    return f"Slice: whether {each.column} is {each.value}"


def _classes(table: TableSpec, meaning: str) -> pa.Column:
    return _column(str, meaning, pa.Check.isin(list(table.target.classes)))


def _value(column: Column) -> pa.Column:
    if column.kind != "number":
        return _text(_meaning(column))
    low, high = column.bounds
    return _column(float, _meaning(column), pa.Check.gt(low), pa.Check.lt(high), nullable=True)


def _meaning(column: Column) -> str:
    meaning = column.meaning or column.source
    return f"{meaning} in {column.unit}" if column.unit else meaning
