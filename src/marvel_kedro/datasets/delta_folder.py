"""A folder that holds a Delta table which somebody else writes."""

from typing import Any

import pandas as pd
from kedro.io import AbstractDataset, DatasetError


class DeltaFolderDataset(AbstractDataset[None, pd.DataFrame]):
    """The newest version of a Delta table, as a pandas frame; it is read only.

    `pandas.DeltaTableDataset` opens its table when the catalog is made, which every command does:
    without deltalake, or with a table that cannot be read, none would run. It also cannot
    say whether the table exists.
    """

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = filepath
        self.metadata = metadata

    def load(self) -> pd.DataFrame:
        """Read the table as it is now."""
        from deltalake import DeltaTable  # noqa: PLC0415 - only where such a table is read

        rows: pd.DataFrame = DeltaTable(self._filepath).to_pandas()
        return rows

    def save(self, data: None) -> None:  # noqa: ARG002 - Kedro's signature
        """Refuse: who owns the table writes it.

        Raises:
            DatasetError: Always.
        """
        raise DatasetError(f"The table {self._filepath} is only read here.")

    def _exists(self) -> bool:
        from deltalake import DeltaTable  # noqa: PLC0415 - only where such a table is read

        return bool(DeltaTable.is_deltatable(self._filepath))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
