"""Arrow arrays from NumPy arrays, with null for a missing value, never NaN or zero."""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.monitoring.aggregation.value_counts import Ints, Segment, Window
from marvel_kedro.monitoring.tables import TIME, WINDOW

MISSING = -1
"""Index of a missing element."""
GroupKey = tuple[Window | None, Segment]
"""Window (None for the baseline) and segment of a group."""


def doubles(values: Floats) -> pa.Array:
    """Convert floats; NaN, and what exceeds a float, become null."""
    return pa.array(values, pa.float64(), mask=~np.isfinite(values))


def integers(values: Floats) -> pa.Array:
    """Convert integers that are stored as floats; NaN becomes null."""
    return doubles(values).cast(pa.int64())


def encode(values: pa.Array) -> tuple[Ints, pa.Array]:
    """Return the index of each value in the distinct ones, and these, ascending as in Python.

    The index of null is `MISSING`.
    """
    coded = values.dictionary_encode()
    order = pc.array_sort_indices(coded.dictionary)
    rank = np.append(np.argsort(order), MISSING)  # inverse of `order`; null is last
    codes = coded.indices.fill_null(len(order)).to_numpy(zero_copy_only=False)
    return rank[codes], coded.dictionary.take(order)


def take(values: pa.Array, index: Ints) -> pa.Array:
    """Select elements by index; null for `MISSING`."""
    return values.take(pa.array(index, pa.int64(), mask=index == MISSING))


def lists(values: pa.Array, lengths: Ints, missing: Flags | None = None) -> pa.Array:
    """Split consecutive values into lists; `missing` is true for null lists, whose length is 0."""
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    mask = None if missing is None else pa.array(missing)
    return pa.ListArray.from_arrays(offsets, values, mask=mask)


def structs(fields: dict[str, pa.Array], missing: Flags | None = None) -> pa.StructArray:
    """Combine fields into structs; `missing` is true for null structs."""
    mask = None if missing is None else pa.array(missing)
    return pa.StructArray.from_arrays(list(fields.values()), names=list(fields), mask=mask)


def key_columns(keys: Sequence[GroupKey]) -> dict[str, pa.Array]:
    """Return the columns of windows (null for None) and segments."""
    windows = list(dict.fromkeys(window for window, _ in keys if window is not None))
    index = {window: number for number, window in enumerate(windows)}
    at = np.array([MISSING if one is None else index[one] for one, _ in keys], np.int64)
    times = [pa.array([getattr(one, name) for one in windows], TIME) for name in ("start", "end")]
    return {
        "window": take(pa.StructArray.from_arrays(times, fields=list(WINDOW)), at),
        "granularity": take(pa.array([one.granularity for one in windows], pa.string()), at),
        **{
            name: pa.array([getattr(segment, name) for _, segment in keys], pa.string())
            for name in ("slice_key", "slice_value", "model_version")
        },
    }


def sorted_keys(keys: Iterable[tuple[Window, Segment]]) -> list[tuple[Window, Segment]]:
    """Sort the keys of groups by window, then by segment."""
    return sorted(keys, key=lambda key: (key[0], key[1].sort_key))
