"""Rows that take the place of others: how a table is brought up to date and may be so twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Replacement:
    """Rows for some values of a column; what the table had for these values goes.

    Attributes:
        column: Such as `request_date`.
        values: For which values the rows are all there is; others in the table stay.
        rows: A frame of the table's engine, an Arrow table, or a reader of one.
    """

    column: str
    values: Sequence[Any]
    rows: Any

    @property
    def condition(self) -> str:
        """The rows that go, in SQL."""
        listed = ", ".join("'" + str(value).replace("'", "''") + "'" for value in self.values)
        return f"{self.column} IN ({listed})"
