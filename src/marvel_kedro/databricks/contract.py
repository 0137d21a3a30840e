"""Contracts of lakehouse tables: columns, rules and comments, and the checks against them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table.contracts import CHANGES_WITH_DESCRIPTION, ContractName, schema
from marvel_kedro.table.description import TableSpec

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Columns = Sequence[tuple[str, str]]
"""Names and Spark types, in order."""

_SQL_TYPES = {
    "string[pyarrow]": "string",
    "float64": "double",
    "bool": "boolean",
    "int64": "bigint",
    "datetime64[us, UTC]": "timestamp",
}


@dataclass(frozen=True)
class Contract:
    """The contract of a table, from `table/contracts.py`."""

    name: str
    schema: Any  # pandera's

    @classmethod
    def named(cls, name: ContractName, table: TableSpec) -> "Contract":
        """Make a contract for a table that is described."""
        return cls(name, schema(name, table))

    @property
    def comment(self) -> str:
        """The meaning of a row."""
        return str(self.schema.description)

    @property
    def types(self) -> dict[str, str]:
        """The Spark type by column."""
        return {name: _SQL_TYPES[str(column.dtype)] for name, column in self._columns.items()}

    @property
    def comments(self) -> dict[str, str]:
        """The meaning by column."""
        return {name: column.description or "" for name, column in self._columns.items()}

    @property
    def key(self) -> str | None:
        """The unique column."""
        return next((name for name, column in self._columns.items() if column.unique), None)

    def violations(self) -> dict[str, "Column"]:
        """Return the number of rows that break a rule, by rule, as aggregates over the table."""
        from pyspark.sql import functions as sql  # noqa: PLC0415 - only where Spark is used

        def rows(condition: "Column") -> "Column":
            return sql.coalesce(sql.sum(sql.when(condition, 1)), sql.lit(0))

        found = {
            f"{name} is null": rows(sql.col(name).isNull())
            for name, column in self._columns.items()
            if not column.nullable
        }
        for name, column in self._columns.items():
            for check in column.checks:
                rule = _rule(sql.col(name), check.name, check.statistics)
                found[f"{name} breaks {check.name}({check.statistics})"] = rows(~rule)
        if key := self.key:
            found[f"{key} is repeated"] = sql.count("*") - sql.count_distinct(sql.col(key))
        return found

    @property
    def _columns(self) -> dict[str, Any]:
        columns: dict[str, Any] = self.schema.columns
        return columns


def _rule(column: "Column", check: str, statistics: dict[str, Any]) -> "Column":
    """Translate a pandera check into a Spark condition, which is null where the value is null."""
    conditions = {
        "isin": column.isin,
        "greater_than": column.__gt__,
        "greater_than_or_equal_to": column.__ge__,
        "less_than": column.__lt__,
        "less_than_or_equal_to": column.__le__,
    }
    if check not in conditions:
        raise ProjectError(
            f"A contract has the rule {check}, which has no Spark condition: add one to "
            f"databricks/contract.py, or use one of {', '.join(conditions)}."
        )
    return conditions[check](next(iter(statistics.values())))


def columns_of(frame: "DataFrame | pd.DataFrame", contract: Contract) -> Columns:
    """Return names and Spark types of a frame; a pandas frame is validated, too."""
    if isinstance(frame, pd.DataFrame):
        frame = contract.schema.validate(frame)
        return [(str(name), contract.types[str(name)]) for name in frame.columns]
    return frame.dtypes


def check_columns(
    name: str, columns: Columns, contract: Contract, existing: Columns | None, *, may_change: bool
) -> None:
    """Refuse a frame whose columns differ from the contract or from the existing table, if any.

    Raises:
        ProjectError: It names the columns. The table is unchanged.
    """
    if dict(columns) != contract.types:
        raise ProjectError(
            f"The table {name} breaks its contract {contract.name}: "
            f"{_difference(dict(columns), contract.types)}. Fix the node that makes it or the "
            "contract. This table was not written."
        )
    may_change = may_change or contract.name in CHANGES_WITH_DESCRIPTION
    if existing is not None and dict(existing) != dict(columns) and not may_change:
        raise ProjectError(
            f"The existing table {name} has other columns than its contract: "
            f"{_difference(dict(existing), dict(columns))}. To change the table, run once with "
            f"MARVEL_EVOLVE={name} (the parameter `evolve` of a job); else restore the contract "
            f"{contract.name}. This table was not written."
        )


def _difference(found: dict[str, str], expected: dict[str, str]) -> str:
    parts = [f"{column} is missing" for column in expected.keys() - found.keys()]
    parts += [f"{column} is not expected" for column in found.keys() - expected.keys()]
    parts += [
        f"{column} is {found[column]} instead of {expected[column]}"
        for column in expected.keys() & found.keys()
        if found[column] != expected[column]
    ]
    return ", ".join(sorted(parts))


def check_rows(name: str, frame: "DataFrame | pd.DataFrame", contract: Contract) -> None:
    """Check a table against the rules of its contract, in one pass on the engine.

    Raises:
        ProjectError: It names the rules and the number of rows that break them.
    """
    if isinstance(frame, pd.DataFrame):
        contract.schema.validate(frame)
        return
    if dict(frame.dtypes) != contract.types:
        raise ProjectError(
            f"The table {name} breaks its contract {contract.name}: "
            f"{_difference(dict(frame.dtypes), contract.types)}. Run the pipeline that writes it."
        )
    rules = contract.violations()
    if not rules:
        return
    (counts,) = frame.agg(*rules.values()).collect()
    broken = [f"{rule} in {rows} rows" for rule, rows in zip(rules, counts, strict=True) if rows]
    if broken:
        raise ProjectError(
            f"The table {name} breaks its contract {contract.name}: {'; '.join(broken)}. Run the "
            "pipeline that writes it, or restore it: RESTORE TABLE .. TO VERSION AS OF .."
        )
