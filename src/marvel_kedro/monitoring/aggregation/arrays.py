"""Arrow arrays of numpy's: where a figure has no value there is null, never NaN and never zero."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.value_counts import Groups, Ints, Part, Window
from marvel_kedro.monitoring.tables import TIME, WINDOW

NOWHERE = -1
"""As a place: there is nothing to take."""


def doubles(values: Floats) -> pa.Array:
    """Floats; NaN becomes null."""
    return pa.array(values, pa.float64(), mask=np.isnan(values))


def whole(values: Floats) -> pa.Array:
    """Whole numbers that are kept as floats; NaN becomes null."""
    absent = np.isnan(values)
    return pa.array(np.where(absent, 0, values).astype(np.int64), pa.int64(), mask=absent)


def taken(values: pa.Array, place: Ints) -> pa.Array:
    """What is at some places; null for `NOWHERE`."""
    return values.take(pa.array(place, pa.int64(), mask=place == NOWHERE))


def lists(values: pa.Array, length: Ints, absent: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Lists of consecutive values.

    Args:
        values: Those of all lists, one after the other.
        length: By list.
        absent: Which of them are null; these have the length 0.
    """
    offsets = pa.array(np.concatenate([[0], np.cumsum(length)]), pa.int32())
    mask = None if absent is None else pa.array(absent)
    return pa.ListArray.from_arrays(offsets, values, mask=mask)


def structs(
    fields: dict[str, pa.Array], absent: npt.NDArray[np.bool_] | None = None
) -> pa.StructArray:
    """Structs of these fields; `absent` says which are null as a whole."""
    mask = None if absent is None else pa.array(absent)
    return pa.StructArray.from_arrays(list(fields.values()), names=list(fields), mask=mask)


def windows(of: Sequence[Window | None]) -> tuple[pa.Array, pa.Array]:
    """Windows as structs, and their granularities; null for None."""
    known = list(dict.fromkeys(one for one in of if one is not None))
    place = {one: number for number, one in enumerate(known)}
    at = np.array([NOWHERE if one is None else place[one] for one in of], np.int64)
    both = pa.StructArray.from_arrays(
        [
            pa.array([one.start for one in known], TIME),
            pa.array([one.end for one in known], TIME),
        ],
        fields=list(WINDOW),
    )
    return taken(both, at), taken(pa.array([one.granularity for one in known], pa.string()), at)


def parts(of: Sequence[Part]) -> dict[str, pa.Array]:
    """The columns that say whose records a row is about."""
    return {
        "slice_key": pa.array([one.slice_key for one in of], pa.string()),
        "slice_value": pa.array([one.slice_value for one in of], pa.string()),
        "model_version": pa.array([one.model_version for one in of], pa.string()),
    }


def ordered(groups: Groups) -> list[tuple[Window, Part]]:
    """The keys of groups by window, then by part."""
    return sorted(groups, key=lambda key: (key[0], in_order(key[1])))


def in_order(part: Part) -> tuple[str, bool, str, str]:
    """What parts are sorted by: the version, then all of its records before slices of them."""
    key, value = part.slice_key, part.slice_value
    return part.model_version, key is not None, key or "", value or ""
