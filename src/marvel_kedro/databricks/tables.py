"""Tables of a lakehouse: attached, made from their contracts, held against them, and counted.

`ManagedTableDataset` loads and overwrites; what it leaves to a project is here.
"""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from marvel_kedro.core.errors import ProjectError

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

Columns = Sequence[tuple[str, str]]
"""Names and Spark types, in order."""

Feature = Literal["comments", "primary_key", "clustering", "change_data_feed", "tags"]

LOCAL_CATALOGS = ("sail", "spark_catalog")
"""Catalogs that forget their tables with the session; the folder of Delta tables remembers them."""

TAGS = {"project": "marvel_characters"}

_SQL_TYPES = {
    "string[pyarrow]": "string",
    "float64": "double",
    "bool": "boolean",
    "int64": "bigint",
    "datetime64[us, UTC]": "timestamp",
}


@dataclass(frozen=True)
class Contract:
    """What a table has to be, from its class in `schemas.py`."""

    name: str
    model: Any

    @classmethod
    def named(cls, path: str) -> "Contract":
        """Import a contract by its dotted name."""
        module, _, name = path.rpartition(".")
        return cls(path, getattr(importlib.import_module(module), name))

    @property
    def comment(self) -> str:
        """What a row is."""
        return str(self.model.__doc__).partition("\n")[0]

    @property
    def types(self) -> dict[str, str]:
        """Spark's type by column."""
        return {name: _SQL_TYPES[str(column.dtype)] for name, column in self._columns.items()}

    @property
    def comments(self) -> dict[str, str]:
        """The meaning by column."""
        return {name: column.description or "" for name, column in self._columns.items()}

    @property
    def key(self) -> str | None:
        """The column that has each value once."""
        return next((name for name, column in self._columns.items() if column.unique), None)

    @property
    def not_null(self) -> set[str]:
        """The columns without nulls."""
        return {name for name, column in self._columns.items() if not column.nullable}

    def faults(self) -> dict[str, "Column"]:
        """By rule, how many rows break it: aggregates over the table, none of which collects it."""
        from pyspark.sql import functions as sql  # noqa: PLC0415 - only where Spark is used

        def rows(condition: "Column") -> "Column":
            return sql.coalesce(sql.sum(sql.when(condition, 1)), sql.lit(0))

        found = {f"{name} is null": rows(sql.col(name).isNull()) for name in self.not_null}
        for name, column in self._columns.items():
            for check in column.checks:
                rule = _rule(sql.col(name), check.name, check.statistics)
                found[f"{name} breaks {check.name}({check.statistics})"] = rows(~rule)
        if self.key:
            found[f"{self.key} is there twice"] = sql.count("*") - sql.count_distinct(
                sql.col(self.key)
            )
        return found

    @property
    def _columns(self) -> dict[str, Any]:
        columns: dict[str, Any] = self.model.to_schema().columns
        return columns


def _rule(column: "Column", check: str, statistics: dict[str, Any]) -> "Column":
    """A check of pandera's as a condition of Spark's; null where the value is null."""
    conditions = {
        "isin": column.isin,
        "greater_than": column.__gt__,
        "greater_than_or_equal_to": column.__ge__,
        "less_than": column.__lt__,
        "less_than_or_equal_to": column.__le__,
    }
    if check not in conditions:
        raise ProjectError(
            f"A contract has the rule {check}, which a lakehouse does not know: add its condition "
            f"to databricks/tables.py, or use one of {', '.join(conditions)}."
        )
    return conditions[check](next(iter(statistics.values())))


@dataclass(frozen=True)
class Place:
    """Where tables are.

    Attributes:
        catalog: The first level of their names.
        schema: The second.
        warehouse: The folder of a local catalog's tables.
        features: What tables get there.
        evolve: Tables whose columns may change in this run.
    """

    catalog: str
    schema: str
    warehouse: Path
    features: frozenset[Feature]
    evolve: frozenset[str] = frozenset()

    @property
    def is_local(self) -> bool:
        """Whether a folder holds the tables and nobody else remembers them."""
        return self.catalog in LOCAL_CATALOGS

    def full_name(self, table: str) -> str:
        """The three-level name."""
        return f"`{self.catalog}`.`{self.schema}`.`{table}`"

    def folder(self, table: str) -> Path:
        """Where a local catalog keeps a table."""
        return self.warehouse / self.schema / table


def place_from(names: Mapping[str, Any], project_path: Path) -> Place:
    """Read the place from the globals of an environment."""
    features = names["table_features"]
    return Place(
        catalog=names["catalog"],
        schema=names["schema"],
        warehouse=project_path / names["warehouse"],
        features=frozenset(features.get(names["catalog"], features["unity"])),
        evolve=frozenset(str(names["evolve"]).replace(" ", "").split(",")),
    )


@contextmanager
def noted(doing: str, table: str) -> Iterator[None]:
    """Note on a fault of the engine which table it is about, for the message."""
    try:
        yield
    except Exception as error:
        error.add_note(f"While {doing} {table}: ")
        raise


def attach(spark: "SparkSession", place: Place) -> None:
    """Make the tables of the warehouse known to a session that has just begun.

    Raises:
        ProjectError: Unity Catalog lacks the schema, or does not show it to this user.
    """
    schema = f"`{place.catalog}`.`{place.schema}`"
    if not place.is_local:
        if not _has_schema(spark, place):
            raise ProjectError(
                f"There is no schema {place.schema} in the catalog {place.catalog}, or nobody "
                f"granted it to you. CREATE SCHEMA {schema}, or GRANT USE CATALOG ON CATALOG and "
                f"USE SCHEMA, SELECT, MODIFY, CREATE TABLE ON SCHEMA {schema} TO you."
            )
        return
    home = place.warehouse / place.schema
    home.mkdir(parents=True, exist_ok=True)
    spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema} LOCATION {_quoted(str(home))}")
    for log in sorted(home.glob("*/_delta_log")):
        if not any(log.glob("*.json")):
            continue  # a first save that was killed: no table yet
        with noted("attaching", log.parent.name):
            spark.sql(
                f"CREATE TABLE IF NOT EXISTS {place.full_name(log.parent.name)} "
                f"USING delta LOCATION {_quoted(str(log.parent))}"
            )


def _has_schema(spark: "SparkSession", place: Place) -> bool:
    try:
        return spark.catalog.databaseExists(f"`{place.catalog}`.`{place.schema}`")
    except Exception as error:  # of the server, one type an engine
        if any(word in str(error).upper() for word in ("NOT_FOUND", "NO_SUCH", "PERMISSION")):
            return False
        raise


def columns_of(frame: "DataFrame | pd.DataFrame", contract: Contract) -> Columns:
    """Names and Spark types of a frame; a pandas frame is held against its contract on the way."""
    if isinstance(frame, pd.DataFrame):
        frame = contract.model.validate(frame)
        return [(str(name), contract.types[str(name)]) for name in frame.columns]
    return frame.dtypes


def check_columns(
    name: str,
    columns: Columns,
    contract: Contract,
    there: Columns | None,
    place: Place,
) -> None:
    """Refuse to save a frame that is not what the table is.

    Args:
        name: The table.
        columns: Names and Spark types of the frame.
        contract: What they have to be.
        there: The names and types of the table as it is; None if there is none.
        place: Which tables may change.

    Raises:
        ProjectError: It names the columns. The table stays as it was.
    """
    if dict(columns) != contract.types:
        raise ProjectError(
            f"The table {name} breaks its contract {contract.name}: "
            f"{_difference(dict(columns), contract.types)}. Mend the node that makes it or the "
            "contract. This table was not written."
        )
    if there is not None and dict(there) != dict(columns) and name not in place.evolve:
        raise ProjectError(
            f"The table {name} that is there has other columns than its contract: "
            f"{_difference(dict(there), dict(columns))}. To change the table, run once with "
            f"MARVEL_EVOLVE={name} (the parameter `evolve` of a job); else bring the contract "
            f"{contract.name} back. This table was not written."
        )


def _difference(found: dict[str, str], wanted: dict[str, str]) -> str:
    parts = [f"{column} is missing" for column in wanted.keys() - found.keys()]
    parts += [f"{column} is not expected" for column in found.keys() - wanted.keys()]
    parts += [
        f"{column} is {found[column]} instead of {wanted[column]}"
        for column in wanted.keys() & found.keys()
        if found[column] != wanted[column]
    ]
    return ", ".join(sorted(parts))


def create_statement(
    table: str, columns: Columns, contract: Contract, features: Iterable[Feature]
) -> str:
    """The SQL that makes a table, with what the engine has of comments, key, clustering and feed.

    Args:
        table: Its full name.
        columns: Names and Spark types, in order.
        contract: Comments and key.
        features: What the engine has.
    """
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
    spark: "SparkSession",
    name: str,
    columns: Columns,
    contract: Contract,
    place: Place,
) -> None:
    """Make a table before its first rows; where saving it does as well, that saves a commit."""
    if not place.features - {"comments"}:  # comments are given after each overwrite
        return
    if place.is_local and place.folder(name).exists():
        return  # only saving overwrites what a first save that was killed has left
    table = place.full_name(name)
    spark.sql(create_statement(table, columns, contract, place.features))
    if "tags" in place.features:
        tags = ", ".join(f"{_quoted(key)} = {_quoted(value)}" for key, value in TAGS.items())
        spark.sql(f"ALTER TABLE {table} SET TAGS ({tags})")


def restore(spark: "SparkSession", name: str, contract: Contract, place: Place) -> None:
    """Give a table back what an overwrite takes away, or another engine has not given it."""
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


def check_rows(name: str, frame: "DataFrame | pd.DataFrame", contract: Contract) -> None:
    """Hold a loaded table against the rules of its contract, in one pass on the engine.

    Raises:
        ProjectError: It names the rules and how many rows break them.
    """
    if isinstance(frame, pd.DataFrame):
        contract.model.validate(frame)
        return
    if dict(frame.dtypes) != contract.types:
        raise ProjectError(
            f"The table {name} breaks its contract {contract.name}: "
            f"{_difference(dict(frame.dtypes), contract.types)}. Run the pipeline that writes it."
        )
    rules = contract.faults()
    if not rules:
        return
    (counts,) = frame.agg(*rules.values()).collect()
    broken = [f"{rule} in {rows} rows" for rule, rows in zip(rules, counts, strict=True) if rows]
    if broken:
        raise ProjectError(
            f"The table {name} breaks its contract {contract.name}: {'; '.join(broken)}. Run the "
            "pipeline that writes it, or go back: RESTORE TABLE .. TO VERSION AS OF .."
        )


def version(spark: "SparkSession", name: str, place: Place) -> int:
    """The Delta version of a table as it is now."""
    if place.is_local:
        from deltalake import DeltaTable  # noqa: PLC0415 - only where Spark is used

        return int(DeltaTable(place.folder(name)).version())
    return latest_version(spark, place.full_name(name))


def latest_version(spark: "SparkSession", table: str) -> int:
    """What a table's history says, on engines that have one."""
    (latest,) = spark.sql(f"DESCRIBE HISTORY {table} LIMIT 1").collect()
    return int(latest["version"])


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
