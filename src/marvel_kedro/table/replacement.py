"""Idempotent updates of a table: new rows replace the old ones with the same values of a column."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Replacement:
    """Rows that replace all rows of a table with the given values of a column; the others stay."""

    column: str  # such as `request_date`
    values: Sequence[Any]
    rows: Any  # a frame of the table's engine, an Arrow table, or a reader of one

    @property
    def condition(self) -> str:
        """Return the SQL condition of the rows that are replaced."""
        listed = ", ".join("'" + str(value).replace("'", "''") + "'" for value in self.values)
        return f"{self.column} IN ({listed})"
