"""Rows of `inference_log` and `rejected_requests` from the inference table, on any engine.

DuckDB reads the table day by day in this process; Spark parses it on its workers.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.aggregation.watermarks import ChangedDays
from marvel_kedro.monitoring.inference_log import parsing
from marvel_kedro.monitoring.names import shown
from marvel_kedro.table.classes import to_class
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import AnyFrame, lazily
from marvel_kedro.table.local_engine import on_engine
from marvel_kedro.table.replacement import Replacement

logger = logging.getLogger(__name__)

ServedEntities = Mapping[str, tuple[str | None, str]]
"""Name and model version by id of the served entity."""

_SPARK_TYPES = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.timestamp("us", "UTC"): "timestamp",
}
_SORT_COLUMNS = ("request_time", "databricks_request_id", "record_number")
_BATCH_REQUESTS = 2048  # the smallest batch of DuckDB
_BATCH_BYTES = 4_000_000
"""Bytes of bodies parsed at once: their records take about twenty times the space."""
_MAX_UNKNOWN_LABELS = 20


def read_served_entities(served_entities: AnyFrame) -> ServedEntities:
    """Return the newest name and version of each served entity."""
    entities = lazily(on_engine(served_entities)).select(*tables.SERVED_ENTITIES.names)
    rows = entities.collect("pyarrow").to_native().sort_by("change_time").to_pylist()
    newest = {row["served_entity_id"]: row for row in rows}
    return {
        str(entity): (row["served_entity_name"], str(row["entity_version"]))
        for entity, row in newest.items()
        if row["entity_version"] is not None
    }


def _unlabelled(table: TableSpec) -> pa.Schema:
    """Return the columns of the log that do not change when labels arrive."""
    labels = (table.target.column, "labelled_at")
    return pa.schema([field for field in tables.inference_log(table) if field.name not in labels])


def _parsed(table: TableSpec) -> pa.Schema:
    """Return the columns of records, and of rejected requests, which have a `reason`."""
    return pa.unify_schemas([_unlabelled(table), tables.REJECTED_REQUESTS])


def read_changed_days(  # noqa: PLR0913, PLR0917 - one a table
    payload: AnyFrame,
    served_entities: AnyFrame,
    labels: AnyFrame,
    log: AnyFrame,
    days: ChangedDays,
    table: TableSpec,
) -> Iterator[tuple[Replacement, Replacement]]:
    """Parse the requests of changed days and join the newest label of each key.

    Records that only get new labels are taken from `log`, the current `inference_log`.

    Yields:
        Replacements of days in `inference_log` and `rejected_requests`: all at once on Spark,
        otherwise one day at a time.
    """
    payload, served = on_engine(payload), read_served_entities(served_entities)
    if lazily(payload).implementation.is_spark_like() or not days.changed:
        yield _replacements(payload, served, labels, log, days, table)
        return
    steps = [ChangedDays({}, (day,), ()) for day in days.read]
    steps += [ChangedDays({}, (), (day,)) for day in days.relabel]
    for step in steps:
        both = _replacements(payload, served, labels, log, step, table)
        # Computed once, in this process.
        recorded, refused = (
            Replacement(one.column, one.values, _consuming_reader(one.rows.to_arrow_table()))
            for one in both
        )
        yield recorded, refused


def _replacements(  # noqa: PLR0913, PLR0917 - one a table
    payload: AnyFrame,
    served: ServedEntities,
    labels: AnyFrame,
    log: AnyFrame,
    days: ChangedDays,
    table: TableSpec,
) -> tuple[Replacement, Replacement]:
    unlabelled, is_record = _unlabelled(table).names, nw.col("reason").is_null()
    parsed = lazily(on_engine(_parse(payload, days, served, table)))
    records = parsed.filter(is_record).select(*unlabelled)
    rejected = parsed.filter(~is_record).select(*tables.REJECTED_REQUESTS.names)
    if days.relabel:
        known = lazily(on_engine(log)).filter(nw.col("request_date").is_in(days.relabel))
        records = nw.concat([records, known.select(*unlabelled)], how="vertical")
    labelled = records.join(newest_labels(labels, table), on=table.key, how="left")
    labelled = labelled.select(*tables.inference_log(table).names)
    return (
        Replacement("request_date", days.changed, labelled.to_native()),
        Replacement("request_date", days.read, rejected.to_native()),
    )


def _consuming_reader(table: pa.Table) -> pa.RecordBatchReader:
    """Return a reader that releases rows as they are read: Kedro keeps what a node yields."""
    batches = deque(table.to_batches())
    return pa.RecordBatchReader.from_batches(
        table.schema, (batches.popleft() for _ in range(len(batches)))
    )


def _parse(
    payload: AnyFrame, days: ChangedDays, served: ServedEntities, table: TableSpec
) -> AnyFrame:
    """Parse the requests of the days to read, without duplicates of a day.

    Returns:
        `_parsed`: a lazy Spark frame for a Spark frame, otherwise an Arrow table.
    """
    rows = lazily(payload).filter(nw.col("request_date").is_in(days.read))
    unique, schema = _drop_duplicates(rows.select(*parsing.PAYLOAD_COLUMNS)), _parsed(table)
    parse = _parser(served, table)
    if rows.implementation.is_spark_like():
        types = ", ".join(f"`{field.name}` {_SPARK_TYPES[field.type]}" for field in schema)
        return unique.to_native().mapInArrow(parse, types)
    batches = unique.to_native().to_arrow_reader(_BATCH_REQUESTS)
    parsed = pa.Table.from_batches(parse(batches), schema)
    return parsed.sort_by([(name, "ascending") for name in _SORT_COLUMNS])


def _drop_duplicates(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Keep one row per id and day, and all requests without an id, which are rejected later.

    Only duplicates are sorted, so that no engine has to hold all bodies for it.
    """
    key = list(parsing.REQUEST_KEY)
    counted = rows.group_by(*key).agg(_rows=nw.len())
    repeated = counted.filter(nw.col("_rows") > 1).select(*key)
    # Sort nulls explicitly: engines differ in where they put them.
    null_flags = {f"no_{name}": nw.col(name).is_null() for name in parsing.DUPLICATE_ORDER}
    order = [part for name in parsing.DUPLICATE_ORDER for part in (f"no_{name}", name)]
    first = (
        rows.join(repeated, on=key, how="semi")
        .with_columns(**null_flags)
        .unique(key, keep="first", order_by=order)
        .select(*rows.collect_schema().names())
    )
    return nw.concat([rows.join(repeated, on=key, how="anti"), first])


def _parser(
    served: ServedEntities, table: TableSpec
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def parse_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # The worker's own module: globals pickled with this function would be rebuilt per task.
        from marvel_kedro.monitoring.inference_log import records  # noqa: PLC0415, PLW0406

        for batch in batches:
            for piece in records.split_batch(batch):
                yield from records.parse_batch(piece, served, table)

    return parse_batches


def split_batch(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Split requests so that a piece has at most `_BATCH_BYTES` of bodies, or one request."""
    sizes = [
        pc.fill_null(pc.binary_length(batch[name].cast(pa.large_string())), 0)
        for name in ("request", "response")
    ]
    ends = np.cumsum(pc.add(*sizes).to_numpy(zero_copy_only=False))
    start = 0
    while start < len(batch):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + _BATCH_BYTES, side="right")))
        yield batch.slice(start, end - start)
        start = end


def parse_batch(
    batch: pa.RecordBatch, served: ServedEntities, table: TableSpec
) -> list[pa.RecordBatch]:
    """Parse requests to `_parsed`."""
    log, schema = parsing.parse_payload(batch.to_pandas(date_as_object=True), table), _parsed(table)
    both = (_add_entity(rows, served) for rows in (log.records, log.rejected))
    found = (  # typed here: a cast would accept an id of another type, which matches no entity
        pa.Table.from_pandas(rows, pa.schema(map(schema.field, rows.columns)), preserve_index=False)
        for rows in both
    )
    return pa.concat_tables(tables.conform(rows, schema) for rows in found).to_batches()


def _add_entity(rows: pd.DataFrame, served: ServedEntities) -> pd.DataFrame:
    """Add name and version of the served entity; an unknown entity's version is its id."""
    ids = rows["served_entity_id"].astype(object)
    known = [served.get(one, (None, one)) if isinstance(one, str) else (None, None) for one in ids]
    columns = ["served_entity_name", "model_version"]
    return rows.assign(**pd.DataFrame(known, rows.index, columns, dtype=object))


def versions(table: AnyFrame) -> set[str]:
    """Return the model versions of a log or baseline."""
    return {version for version, *_ in _distinct(table, ["model_version"])} - {None}


def has_other_classes(log: AnyFrame, table: TableSpec) -> bool:
    """Return whether a log has predictions of classes that the target no longer has."""
    found = {prediction for (prediction,) in _distinct(log, ["prediction"])}
    return bool(found - {None, *table.target.classes})


def versions_by_day(log: AnyFrame) -> dict[date, set[str]]:
    """Return the model versions of a log by `request_date`."""
    found: dict[date, set[str]] = {}
    for day, version in _distinct(log, ["request_date", "model_version"]):
        found.setdefault(day, set()).add(version)
    return found


def _distinct(table: AnyFrame, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    found = lazily(on_engine(table)).select(*columns).unique().collect("pyarrow").to_native()
    return zip(*(found[name].to_pylist() for name in columns), strict=True)


def days_with_new_names(log: AnyFrame, served: ServedEntities) -> set[date]:
    """Return the days with rows whose served entity has another name or version now."""
    columns = ["request_date", "served_entity_id", "served_entity_name", "model_version"]
    return {
        day
        for day, entity, *known in _distinct(log, columns)
        if entity is not None and tuple(known) != served.get(entity, (None, entity))
    }


def relabelled_days(log: AnyFrame, labels: AnyFrame, table: TableSpec) -> set[date]:
    """Return the days with records whose label differs from the newest one."""
    label = (table.target.column, "labelled_at")
    newest = newest_labels(labels, table).rename({name: f"_{name}" for name in label})
    logged = lazily(on_engine(log)).select("request_date", table.key, *label)
    joined = logged.join(newest, on=table.key, how="left")
    changed = joined.filter(_differs(label[0]) | _differs(label[1]))
    return {day for (day,) in _distinct(changed.to_native(), ["request_date"])}


def _differs(name: str) -> nw.Expr:
    logged, now = nw.col(name), nw.col(f"_{name}")  # a comparison with null is null
    return nw.coalesce(logged != now, logged.is_null() != now.is_null())


def warn_of_unknown_labels(labels: AnyFrame, table: TableSpec) -> None:
    """Log the number of labels that are none of the classes, with some of their values."""
    given = _texts(labels, table).with_columns(_class=to_class(table.target, ()))
    odd = given.filter(nw.col("_class").is_null()).select(table.target.column)
    (unknown,) = odd.select(nw.len()).collect("pyarrow").to_native()[0].to_pylist()
    if unknown:
        found = odd.unique().head(_MAX_UNKNOWN_LABELS).collect("pyarrow").to_native()
        logger.warning(
            "          %s labels are neither %s nor %s and are ignored, such as %s",
            *(f"{unknown:,}", *table.target.classes),
            ", ".join(sorted({shown(value) for value in found[0].to_pylist()})),
        )


def newest_labels(labels: AnyFrame, table: TableSpec) -> nw.LazyFrame[Any]:
    """Select the newest label of each key, as a class; labels may be in words of the source."""
    key, label = table.key, table.target.column
    known = _texts(labels, table).with_columns(to_class(table.target, ()))
    known = known.filter(~nw.col(key).is_null() & ~nw.col(label).is_null())
    # The label breaks ties of time: engines differ in their row order.
    return known.unique([key], keep="last", order_by=["labelled_at", label])


def _texts(labels: AnyFrame, table: TableSpec) -> nw.LazyFrame[Any]:
    """Select key, label and time; the first two may be numbers in a table of a lakehouse."""
    texts = (nw.col(name).cast(nw.String) for name in (table.key, table.target.column))
    return lazily(on_engine(labels)).select(*texts, "labelled_at")
