"""The engine of local tables: DuckDB, over Arrow tables and folders of Delta tables.

It reads no more of a table than a query needs, in pieces, so a table may be larger than memory.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from marvel_kedro.core.errors import ProjectError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

TABLES = (pa.Table, pd.DataFrame)


def relation(table: Any) -> "DuckDBPyRelation":  # noqa: ANN401 - what DuckDB takes for a table
    """Show a table to the engine.

    Args:
        table: A frame, an Arrow table or an Arrow dataset; nothing is copied.

    Returns:
        A lazy frame of it, as narwhals knows it, that can be joined with any other of this engine.
    """
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    return _connection().from_arrow(table)


def on_engine(table: Any) -> Any:  # noqa: ANN401 - any frame
    """A local table as a relation; a frame of another engine as it is."""
    return relation(table) if isinstance(table, TABLES) else table


@cache
def _connection() -> "DuckDBPyConnection":
    """One for all, since relations of two cannot be joined."""
    try:
        import duckdb  # noqa: PLC0415 - only where such a table is read
    except ImportError as error:
        raise ProjectError(
            "DuckDB is needed for local tables of the endpoint: pip install -e '.[server]'"
        ) from error
    connection = duckdb.default_connection()  # narwhals asks it, too
    connection.execute("LOAD icu")
    connection.execute("SET TimeZone = 'UTC'")  # else times are those of this machine's place
    return connection
