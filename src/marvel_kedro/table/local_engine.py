"""The engine of local tables: DuckDB, over Arrow tables and folders of Delta tables.

It reads only the parts of a table that a query needs, in batches: tables may exceed memory.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from marvel_kedro.core.errors import ProjectError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation


def relation(table: Any) -> "DuckDBPyRelation":  # noqa: ANN401 - any table of DuckDB
    """Wrap a frame, an Arrow table or an Arrow dataset as a DuckDB relation, without a copy.

    It is a lazy frame for narwhals, and can be joined with any other of this engine.
    """
    if isinstance(table, pd.DataFrame):
        table = pa.Table.from_pandas(table, preserve_index=False)
    return _connection().from_arrow(table)


def on_engine(table: Any) -> Any:  # noqa: ANN401 - any frame
    """Wrap a local table as a relation; return a frame of another engine unchanged."""
    return relation(table) if isinstance(table, pa.Table | pd.DataFrame) else table


@cache
def _connection() -> "DuckDBPyConnection":
    """Configure the one connection: relations of two connections cannot be joined."""
    try:
        import duckdb  # noqa: PLC0415 - optional dependency
    except ImportError as error:
        raise ProjectError(
            "DuckDB is needed for local tables of the endpoint: pip install -e '.[server]'"
        ) from error
    connection = duckdb.default_connection()  # narwhals uses it, too
    connection.execute("LOAD icu")
    connection.execute("SET TimeZone = 'UTC'")  # the default is the time zone of the machine
    return connection
