"""Tables of a lakehouse: attach them, create them from contracts, read their versions.

`databricks.ManagedTableDataset` only loads and overwrites.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from marvel_kedro.core import odd_paths
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.databricks import session
from marvel_kedro.databricks.contract import Columns, Contract

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Feature = Literal["comments", "primary_key", "clustering", "change_data_feed", "tags"]

_NAME = re.compile(r"(?!-)[0-9A-Za-z_-]{1,255}(?<!-)")
"""Names that Unity Catalog and `databricks.ManagedTableDataset` allow."""


@dataclass(frozen=True)
class Place:
    """The schema that holds the tables."""

    catalog: str
    schema: str
    warehouse: Path  # the folder of the tables of a local catalog
    features: frozenset[Feature]  # what the catalog supports
    evolve: frozenset[str] = frozenset()  # tables whose columns may change in this run

    @property
    def is_local(self) -> bool:
        """True if the catalog exists only during a session, and the tables only as folders."""
        return self.catalog in ("sail", "spark_catalog")

    def full_name(self, table: str) -> str:
        """Return the three-level name of a table."""
        return quoted_name(self.catalog, self.schema, table)

    def folder(self, table: str) -> Path:
        """Return the folder of a table of a local catalog."""
        return self.warehouse / self.schema / table


def quoted_name(*parts: str) -> str:
    """Return a name for SQL and the engine's catalog, which read no hyphen without quotes."""
    return ".".join(f"`{part}`" for part in parts)


def place_from(names: Mapping[str, Any], project_path: Path) -> Place:
    """Read the place of the tables from the globals of an environment.

    Raises:
        ProjectError: The catalog or the schema has a character that no engine allows.
    """
    for level in ("catalog", "schema"):
        if not _NAME.fullmatch(str(names[level])):
            raise ProjectError(
                f"The {level} {names[level]!r} (MARVEL_{level.upper()}, the parameter {level} of a "
                "job) is no name: it may have letters from a to z, digits, underscores and, "
                "between them, hyphens."
            )
    features = names["table_features"]
    return Place(
        catalog=names["catalog"],
        schema=names["schema"],
        warehouse=project_path / names["warehouse"],
        features=frozenset(features.get(names["catalog"], features["unity"])),
        evolve=frozenset(str(names["evolve"]).replace(" ", "").split(",")),
    )


@contextmanager
def noted(action: str, table: str) -> Iterator[None]:
    """Add a note with the table to an engine's error, for the message."""
    try:
        yield
    except Exception as error:
        error.add_note(f"While {action} {table}: ")
        raise


@contextmanager
def attached(names: Mapping[str, Any], project_path: Path) -> Iterator[None]:
    """Keep a session with the tables open, if these are the globals of a lakehouse."""
    if "catalog" not in names:
        yield
        return
    try:
        start_and_attach(names["engine"], place_from(names, project_path))
        yield
    finally:
        session.end()


def start_and_attach(engine: session.Engine, place: Place) -> None:
    """Start a session and attach the tables."""
    session.start(engine, place.warehouse)
    # Also for a session of the platform: days are those of UTC everywhere.
    session.active().conf.set("spark.sql.session.timeZone", "UTC")
    attach(session.active(), place)


def attach(spark: "SparkSession", place: Place) -> None:
    """Register the tables of the warehouse in a new session.

    Raises:
        ProjectError: Unity Catalog has no such schema, or this user may not see it; or Sail would
            write to another folder than the warehouse.
    """
    schema = quoted_name(place.catalog, place.schema)
    if not place.is_local:
        if not _has_schema(spark, place):
            raise ProjectError(
                f"There is no schema {place.schema} in the catalog {place.catalog}, or you have no "
                f"privilege on it. CREATE SCHEMA {schema}, or GRANT USE CATALOG ON CATALOG and "
                f"USE SCHEMA, SELECT, MODIFY, CREATE TABLE ON SCHEMA {schema} TO you."
            )
        return
    home = place.warehouse / place.schema
    if place.catalog == "sail":
        odd_paths.check_sail(home)
    home.mkdir(parents=True, exist_ok=True)
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema} LOCATION {_quoted(str(home))}")
    for log in sorted(home.glob("*/_delta_log")):
        if not any(log.glob("*.json")):
            continue  # left by a first save that was killed: not a table yet
        with noted("attaching", log.parent.name):
            spark.sql(
                f"CREATE TABLE IF NOT EXISTS {place.full_name(log.parent.name)} "
                f"USING delta LOCATION {_quoted(str(log.parent))}"
            )


def _has_schema(spark: "SparkSession", place: Place) -> bool:
    try:
        return spark.catalog.databaseExists(quoted_name(place.catalog, place.schema))
    except Exception as error:  # each engine has a type of its own
        if any(word in str(error).upper() for word in ("NOT_FOUND", "NO_SUCH", "PERMISSION")):
            return False
        raise


def create_statement(
    table: str, columns: Columns, contract: Contract, features: Iterable[Feature]
) -> str:
    """Return the SQL that creates a table, with the features of the catalog."""
    features = set(features)
    with_key = contract.key if "primary_key" in features else None
    lines = [
        f"`{name}` {kind}"
        + (" NOT NULL" if name == with_key else "")
        + (f" COMMENT {_quoted(contract.comments[name])}" if "comments" in features else "")
        for name, kind in columns
    ]
    if with_key:
        lines.append(f"PRIMARY KEY (`{with_key}`)")
    statement = f"CREATE TABLE IF NOT EXISTS {table} ({', '.join(lines)}) USING delta"
    if "clustering" in features and contract.key:
        statement += f" CLUSTER BY (`{contract.key}`)"
    if "comments" in features:
        statement += f" COMMENT {_quoted(contract.comment)}"
    if "change_data_feed" in features:
        statement += " TBLPROPERTIES ('delta.enableChangeDataFeed' = 'true')"
    return statement


def create(
    spark: "SparkSession", name: str, columns: Columns, contract: Contract, place: Place
) -> None:
    """Create a table before its first rows, if it has features that a save cannot give it."""
    if not place.features - {"comments"}:  # `restore` sets comments after each save
        return
    if place.is_local and place.folder(name).exists():
        return  # left by a first save that was killed; only a save overwrites it
    table = place.full_name(name)
    spark.sql(create_statement(table, columns, contract, place.features))
    if "tags" in place.features:
        spark.sql(f"ALTER TABLE {table} SET TAGS ('project' = 'marvel_kedro')")


def restore(spark: "SparkSession", name: str, contract: Contract, place: Place) -> None:
    """Restore comments and clustering, which an overwrite removes and other engines do not set."""
    if not place.features & {"comments", "clustering"}:
        return
    table = place.full_name(name)
    (detail,) = spark.sql(f"DESCRIBE DETAIL {table}").collect()
    if "comments" in place.features:
        if detail["description"] != contract.comment:
            spark.sql(f"COMMENT ON TABLE {table} IS {_quoted(contract.comment)}")
        rows = spark.sql(f"DESCRIBE TABLE {table}").collect()
        described = {row["col_name"]: row["comment"] for row in rows}
        missing = [
            f"`{column}` COMMENT {_quoted(meaning)}"
            for column, meaning in contract.comments.items()
            if (described.get(column) or "") != meaning
        ]
        if missing:
            spark.sql(f"ALTER TABLE {table} ALTER COLUMN {', '.join(missing)}")
    key = contract.key if "clustering" in place.features else None
    if key and list(detail["clusteringColumns"]) != [key]:
        spark.sql(f"ALTER TABLE {table} CLUSTER BY (`{key}`)")


def version(spark: "SparkSession", name: str, place: Place) -> int:
    """Return the current Delta version of a table."""
    if place.is_local:
        from deltalake import DeltaTable  # noqa: PLC0415 - only where Spark is used

        return int(DeltaTable(place.folder(name)).version())
    return latest_version(spark, place.full_name(name))


def latest_version(spark: "SparkSession", table: str) -> int:
    """Return the current version from a table's history, on engines that have one."""
    (latest,) = spark.sql(f"DESCRIBE HISTORY {table} LIMIT 1").collect()
    return int(latest["version"])


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
