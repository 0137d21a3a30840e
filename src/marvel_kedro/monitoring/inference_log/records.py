"""The inference table becomes rows of `inference_log` and `rejected_requests`, on any engine.

In this process a day is read at a time, and on Spark by its workers.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.monitoring.inference_log import parsing
from marvel_kedro.monitoring.tables import INFERENCE_LOG, REJECTED_REQUESTS
from marvel_kedro.table.frames import AnyFrame, lazily
from marvel_kedro.table.local_engine import on_engine

LABEL_COLUMNS = ("alive", "labelled_at")
PARSED = pa.unify_schemas(
    [
        pa.schema([field for field in INFERENCE_LOG if field.name not in LABEL_COLUMNS]),
        REJECTED_REQUESTS,
    ]
)
"""Records and, with a `reason`, requests of which none can be read."""

Served = Mapping[str, tuple[str | None, str]]
"""Name and version by id of the served entity."""

_SPARK_TYPES = {
    pa.string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.date32(): "date",
    pa.timestamp("us", "UTC"): "timestamp",
}


def served_by_id(entities: pd.DataFrame) -> Served:
    """Name and version of each served entity, as they were named last."""
    newest = entities.sort_values("change_time").drop_duplicates("served_entity_id", keep="last")
    rows = newest.dropna(subset=["entity_version"])
    # As the log has it: NaN, which pandas has for null, would be another name in every run.
    names = rows["served_entity_name"]
    named = names.astype(object).where(names.notna(), None)
    return {
        str(entity): (name, str(version))
        for entity, name, version in zip(
            rows["served_entity_id"], named, rows["entity_version"], strict=True
        )
    }


def parse(payload: AnyFrame, days: list[date], served: Served) -> AnyFrame:
    """Read requests of some days, each id of a day once.

    Args:
        payload: The inference table.
        days: Which days of it.
        served: Who answered.

    Returns:
        `PARSED`: a lazy Spark frame for one, an Arrow table for any other.
    """
    wanted = [*parsing.PAYLOAD_COLUMNS]
    rows = lazily(on_engine(payload)).filter(nw.col("request_date").is_in(days)).select(*wanted)
    once = _once(rows)
    if rows.implementation.is_spark_like():
        types = ", ".join(f"{field.name} {_SPARK_TYPES[field.type]}" for field in PARSED)
        return once.to_native().mapInArrow(_parser(dict(served)), types)
    batches = once.to_native().to_arrow_reader(_REQUESTS)
    parsed = pa.Table.from_batches(_parser(served)(batches), PARSED)
    return parsed.sort_by([(name, "ascending") for name in _PLACE])


_PLACE = ("request_time", "databricks_request_id", "record_number")
_REQUESTS = 2048  # DuckDB passes on no fewer
_BYTES = 4_000_000
"""Bodies that are read at once: what they say takes about twenty times the space."""


def _once(rows: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Each id of a day once; a request without one is kept, to be rejected.

    Only what is there twice is put in order, so that no engine has to hold all bodies for it.
    """
    ids = list(parsing.ONCE)
    counted = rows.group_by(*ids).agg(_rows=nw.len())
    again = counted.filter(nw.col("_rows") > 1).select(*ids)
    # Which one of several counts, no engine's own order may say, nor where it puts nulls.
    last = {f"no_{name}": nw.col(name).is_null() for name in parsing.ORDER}
    first = (
        rows.join(again, on=ids, how="semi")
        .with_columns(**last)
        .unique(
            ids,
            keep="first",
            order_by=[part for name in parsing.ORDER for part in (f"no_{name}", name)],
        )
        .select(*rows.collect_schema().names())
    )
    return nw.concat([rows.join(again, on=ids, how="anti"), first])


def _parser(
    served: Served,
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    def parse_batches(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # The worker's own module: what is pickled with this function would be made anew each time.
        from marvel_kedro.monitoring.inference_log import records  # noqa: PLC0415, PLW0406

        for batch in batches:
            for piece in records.pieces(batch):
                yield from records.parse_batch(piece, served)

    return parse_batches


def pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Part requests so that no piece has bodies of more than some bytes, unless one alone has."""
    sizes = [
        pc.fill_null(pc.binary_length(batch[name].cast(pa.large_string())), 0)
        for name in ("request", "response")
    ]
    ends = np.cumsum(pc.add(*sizes).to_numpy(zero_copy_only=False))
    start = 0
    while start < len(batch):
        before = ends[start - 1] if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + _BYTES, side="right")))
        yield batch.slice(start, end - start)
        start = end


def parse_batch(batch: pa.RecordBatch, served: Served) -> list[pa.RecordBatch]:
    """Read some requests."""
    found: list[pa.RecordBatch] = _parsed(batch.to_pandas(date_as_object=True), served).to_batches()
    return found


def _parsed(payload: pd.DataFrame, served: Served) -> pa.Table:
    read = parsing.read(payload)
    both = [_told(read.records, served), _told(read.rejected, served)]
    return pa.concat_tables(
        pa.table(
            {
                field.name: pa.Array.from_pandas(rows[field.name], type=field.type)
                if field.name in rows
                else pa.nulls(len(rows), field.type)
                for field in PARSED
            },
            schema=PARSED,
        )
        for rows in both
    )


def _told(rows: pd.DataFrame, served: Served) -> pd.DataFrame:
    """Add who answered; an entity that nobody has noted is its own version."""
    ids = rows["served_entity_id"].astype(object)
    known = [served.get(one, (None, one)) if isinstance(one, str) else (None, None) for one in ids]
    names, versions = [name for name, _ in known], [version for _, version in known]
    return rows.assign(
        served_entity_name=pd.Series(names, index=rows.index, dtype=object),
        model_version=pd.Series(versions, index=rows.index, dtype=object),
    )


def records(parsed: AnyFrame) -> AnyFrame:
    """Of what was parsed, the records, without labels."""
    names = [name for name in INFERENCE_LOG.names if name not in LABEL_COLUMNS]
    return _where(parsed, names, rejected=False)


def rejected(parsed: AnyFrame) -> AnyFrame:
    """Of what was parsed, the requests of which no record can be read."""
    return _where(parsed, REJECTED_REQUESTS.names, rejected=True)


def _where(parsed: AnyFrame, names: list[str], *, rejected: bool) -> AnyFrame:
    found = ~nw.col("reason").is_null() if rejected else nw.col("reason").is_null()
    return lazily(parsed).filter(found).select(*names).to_native()


def renamed(log: AnyFrame, served: Served) -> set[date]:
    """Days with rows whose served entity has another name or version by now.

    Args:
        log: Rows of `inference_log` or `rejected_requests`.
        served: Who answered, as it is known now.
    """
    said = ["request_date", "served_entity_id", "served_entity_name", "model_version"]
    found = lazily(on_engine(log)).select(*said).unique().collect("pyarrow").to_native()
    return {
        day
        for day, entity, *known in zip(*(found[name].to_pylist() for name in said), strict=True)
        if entity is not None and tuple(known) != served.get(entity, (None, entity))
    }


def labelled(log: AnyFrame, labels: AnyFrame) -> AnyFrame:
    """Join what became of the characters, by their page; the newest label of a page counts.

    Args:
        log: Records, whose own labels do not matter.
        labels: `page_id`, `alive`, `labelled_at`.

    Returns:
        A lazy frame of `INFERENCE_LOG`.
    """
    left = lazily(on_engine(log))
    bare = left.select(*(name for name in INFERENCE_LOG.names if name not in LABEL_COLUMNS))
    known = newest(labels)
    return bare.join(known, on="page_id", how="left").select(*INFERENCE_LOG.names).to_native()


def relabelled(log: AnyFrame, labels: AnyFrame) -> AnyFrame:
    """Count by day the records whose label is not what the labels say now.

    Returns:
        A lazy frame: `request_date`, `rows`.
    """
    known = newest(labels).rename({"alive": "alive_now", "labelled_at": "labelled_at_now"})
    joined = lazily(on_engine(log)).join(known, on="page_id", how="left")
    changed = _differs("alive") | _differs("labelled_at")
    return joined.filter(changed).group_by("request_date").agg(rows=nw.len()).to_native()


def _differs(name: str) -> nw.Expr:
    mine, now = nw.col(name), nw.col(f"{name}_now")
    both = ~mine.is_null() & ~now.is_null()
    return (mine.is_null() != now.is_null()) | nw.when(both).then(mine != now).otherwise(
        nw.lit(False)
    )


_IS_LABEL = nw.col("alive").is_in(["Alive", "Dead"])


def unknown_labels(labels: AnyFrame) -> dict[str, int]:
    """How many labels are neither Alive nor Dead, by what they are instead."""
    odd = lazily(on_engine(labels)).filter(~nw.coalesce(_IS_LABEL, nw.lit(False)))
    found = odd.group_by("alive").agg(rows=nw.len()).head(_SOME).collect("pyarrow").to_native()
    return dict(zip(map(str, found["alive"].to_pylist()), found["rows"].to_pylist(), strict=True))


_SOME = 20


def newest(labels: AnyFrame) -> nw.LazyFrame[Any]:
    """The newest label of each page."""
    known = lazily(on_engine(labels)).select("page_id", *LABEL_COLUMNS)
    known = known.filter(~nw.col("page_id").is_null() & _IS_LABEL)
    # Two of one moment: no engine's own order may decide.
    return known.unique(["page_id"], keep="last", order_by=["labelled_at", "alive"])
