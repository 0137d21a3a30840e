"""Split rows into a train and a test set by the CRC-32 of the key or of the group."""

from typing import Any

import narwhals as nw
from narwhals.typing import IntoFrameT

from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.hashing import with_crc32
from marvel_kedro.table.options import RecordedSplit, SplitOptions

_BUCKETS = 10_000


def split_table(
    records: IntoFrameT, table: TableSpec, split: SplitOptions
) -> tuple[IntoFrameT, IntoFrameT]:
    """Split records into the train set and the test set."""
    frame = with_side(lazily(records), table, split, into="_is_test")
    is_test = nw.col("_is_test")
    train, test = (frame.filter(side).drop("_is_test") for side in (~is_test, is_test))
    return train.to_native(), test.to_native()


def with_side(
    frame: nw.LazyFrame[Any], table: TableSpec, split: SplitOptions, *, into: str
) -> nw.LazyFrame[Any]:
    """Add a column to rows with a key and a group: whether the row belongs to the test set.

    The side of a row depends only on its key or, if `split.by` is group, on its group (on its key
    where that is null). It is therefore the same on every engine, in every run and in any row
    order: a row that one run trains on is never a test row of another run with the same split.
    """
    key = nw.coalesce(nw.col(record(table, split).column), nw.col(table.key))
    is_test = nw.col(into) % _BUCKETS < round(split.test_share * _BUCKETS)
    return with_crc32(frame.with_columns(key.alias(into)), into).with_columns(is_test.alias(into))


def record(table: TableSpec, split: SplitOptions) -> RecordedSplit:
    """Return a split with the column that it hashes."""
    if isinstance(split, RecordedSplit):
        return split
    column = table.key if split.by == "key" else table.group_column
    return RecordedSplit(**split.model_dump(), column=column)
