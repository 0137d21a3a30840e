"""Select the rows of a retraining: newly labelled ones and a share of the past."""

import logging
from datetime import datetime, timedelta
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
from narwhals.typing import IntoFrameT

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.fit import fit
from marvel_kedro.model.metrics import ScorePairs, log_loss, value_of
from marvel_kedro.model.options import RetrainingOptions, TrainingOptions
from marvel_kedro.table import missing_markers
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import AnyFrame, collect, lazily, to_pandas
from marvel_kedro.table.local_engine import on_engine
from marvel_kedro.table.options import ProcessingOptions, SplitOptions
from marvel_kedro.table.split import record, split_table

logger = logging.getLogger(__name__)

_AGE_ORDER = ("labelled_at", "request_time", "databricks_request_id", "record_number")
"""The order of labelled records from old to new; the last two break ties on every engine."""


def select_newest(  # noqa: PLR0913, PLR0917 - inputs of a node
    inference_log: AnyFrame,
    records: IntoFrameT,
    table: TableSpec,
    options: RetrainingOptions,
    processing: ProcessingOptions,
    now: datetime,
    max_rows: int,
) -> IntoFrameT:
    """Turn labelled requests into records: for each key the one with the newest label.

    A field that the request did not contain, or as a missing marker, has the value of the key in
    `records`, as when the endpoint completed the record. Records later than `now` are excluded:
    a wrong clock would make them the newest ones, and leave no others within `options.days`. If
    `records`, the known keys, are a table in memory, there may be `max_rows` labelled keys.

    Returns:
        One row per labelled key, with the columns of `records`.

    Raises:
        ProjectError: No record has a label.
    """
    key, target = table.key, table.target
    rows = lazily(on_engine(inference_log)).with_columns(
        missing_markers.replace(name, table.columns[name], processing.missing_markers)
        for name in (key, *(name for name, column in table.inputs.items() if not column.is_number))
    )
    rows = rows.filter(
        ~nw.col(key).is_null(),
        nw.col(target.column).is_in([*target.classes]),
        nw.col("request_time") <= now,
    )
    newest = rows.select(nw.col("request_time").max()).lazy().collect().item()
    if newest is None or newest != newest:  # noqa: PLR0124 - pandas' NaT
        raise ProjectError(
            f"inference_log has no labelled record to train on: labels are matched by {key}, "
            "which requests must contain, and records later than monitoring.now "
            f"({now:%Y-%m-%d %H:%M %Z}) are excluded. Bring rows in the table labels, "
            "then: kedro run --pipelines monitoring"
        )
    if options.days is not None:
        rows = rows.filter(nw.col("request_time") >= newest - timedelta(days=options.days))
    valid = {
        name: nw.col(name).is_between(*column.bounds, closed="none")
        if column.is_number
        else nw.col(name) != ""
        for name, column in table.inputs.items()
    }
    fields = [nw.when(is_valid).then(nw.col(name)).alias(name) for name, is_valid in valid.items()]
    sent = rows.unique(key, keep="last", order_by=_AGE_ORDER)
    sent = sent.select(key, target.column, *fields)
    if isinstance(records, pd.DataFrame):  # frames of two engines cannot be joined
        sent = lazily(collect(sent.to_native(), max_rows, "training.max_rows"))
    return _complete(sent, lazily(records), table).to_native()


def _complete(
    sent: nw.LazyFrame[Any], known: nw.LazyFrame[Any], table: TableSpec
) -> nw.LazyFrame[Any]:
    """Fill the missing fields of sent records from the known ones."""
    columns = known.collect_schema().names()
    renamed = known.rename({name: f"_{name}" for name in columns if name != table.key})
    filled = {name: nw.coalesce(name, f"_{name}") for name in table.inputs}
    filled |= {name: nw.col(name) for name in (table.key, table.target.column)}
    return sent.join(renamed, on=table.key, how="left").select(
        filled.get(name, nw.col(f"_{name}")).alias(name) for name in columns
    )


def choose_share(  # noqa: PLR0913, PLR0917 - inputs of a node
    newest_records: IntoFrameT,
    records: IntoFrameT,
    table: TableSpec,
    options: RetrainingOptions,
    processing: ProcessingOptions,
    training: TrainingOptions,
) -> float:
    """Choose the share of newly labelled rows, and thus how much of the past is used.

    Returns:
        The share of `options.newest_shares` whose model has the least log loss on a held-out
        quarter of the newly labelled rows of the train side; the first of equal ones. Rows of the
        test side are not used.
    """
    if len(options.newest_shares) == 1:
        return options.newest_shares[0]
    losses: dict[float, float] = {}
    new_train, _ = split_table(newest_records, table, processing.split)
    aside = _sample(lazily(new_train), table, 0.25, " aside").to_native()
    held_out = to_pandas(aside, table.key, training.max_rows)
    for share in options.newest_shares:
        rows, _, _ = split_rows(newest_records, records, table, share, options, processing)
        collected = to_pandas(rows, table.key, training.max_rows)
        collected = collected[~collected[table.key].isin(held_out[table.key])]
        losses[share] = _loss(collected, held_out, table, training)
        logger.info(
            "          newest rows at least %g %%: log loss %.4f", 100 * share, losses[share]
        )
    return min(losses, key=lambda share: losses[share])


def split_rows(  # noqa: PLR0913, PLR0917 - inputs of a node
    newest_records: IntoFrameT,
    records: IntoFrameT,
    table: TableSpec,
    newest_share: float,
    options: RetrainingOptions,
    processing: ProcessingOptions,
) -> tuple[IntoFrameT, IntoFrameT, dict[str, Any]]:
    """Replace known records by newly labelled ones, and split the result.

    The split is that of `processing`, so that no model is tested on rows that another one with this
    split was trained on.

    Returns:
        Train set, test set and the split, as `processing` makes them.
    """
    newest, past = lazily(newest_records), lazily(records)
    past = past.join(newest.select(table.key), on=table.key, how="anti")
    past = _thin(past, table, _rows(newest), newest_share)
    train, test = split_table(nw.concat([newest, past]).to_native(), table, processing.split)
    if options.test_on == "newest":
        _, test = split_table(newest_records, table, processing.split)
    return train, test, record(table, processing.split).model_dump()


def _loss(
    rows: pd.DataFrame, held_out: pd.DataFrame, table: TableSpec, options: TrainingOptions
) -> float:
    """Compute the log loss on held-out rows of a model fitted to others; infinite on failure."""
    try:
        model = fit(rows, table, options.fit)
    except ProjectError:  # too few rows, or only one class
        return np.inf
    if not len(held_out):
        return np.inf
    positive = (held_out[table.target.column] == table.target.positive).to_numpy()
    probability = model.predict(held_out)["probability"].to_numpy()
    return value_of(log_loss, ScorePairs.of(positive, probability))


def _thin(
    past: nw.LazyFrame[Any], table: TableSpec, newest: int, share: float
) -> nw.LazyFrame[Any]:
    """Drop past rows until the newest ones have their share of all rows."""
    if not share:
        return past
    rows, limit = _rows(past), newest * (1 - share) / share
    if rows <= limit:
        return past
    # Some past rows must stay: they identify synthetic data.
    return _sample(past, table, max(limit / rows, 0.0001), " of the past")


def _sample(
    frame: nw.LazyFrame[Any], table: TableSpec, share: float, salt: str
) -> nw.LazyFrame[Any]:
    """Sample a share of the rows by a salted hash, which is independent of the split's."""
    salted = frame.with_columns(
        nw.col(table.key).alias("_key"),
        nw.concat_str(nw.col(table.key), nw.lit(salt)).alias(table.key),
    )
    _, taken = split_table(salted.to_native(), table, SplitOptions(by="key", test_share=share))
    return lazily(taken).with_columns(nw.col("_key").alias(table.key)).drop("_key")


def _rows(frame: nw.LazyFrame[Any]) -> int:
    return int(frame.select(nw.len()).lazy().collect().item())
