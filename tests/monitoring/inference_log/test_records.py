"""Parsing in batches of limited size, and names of served entities."""

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.table import TABLE

from marvel_kedro.monitoring.inference_log import records
from marvel_kedro.monitoring.tables import SERVED_ENTITIES, inference_log

BODIES = st.lists(st.tuples(*[st.none() | st.text(max_size=9)] * 2), max_size=30)


@given(bodies=BODIES, limit=st.integers(1, 40))
def test_batches_are_split_at_the_byte_limit_and_not_before(
    bodies: list[tuple[str | None, str | None]], limit: int
) -> None:
    rows = [{"request": request, "response": response} for request, response in bodies]
    schema = pa.schema([("request", pa.string()), ("response", pa.string())])
    batch = pa.RecordBatch.from_pylist(rows, schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_BATCH_BYTES", limit)
        pieces = list(records.split_batch(batch))
    assert [row for piece in pieces for row in piece.to_pylist()] == rows
    assert all(_bytes(piece) <= limit or len(piece) == 1 for piece in pieces)
    for piece, after in pairwise(pieces):  # no piece is shorter than necessary
        assert _bytes(piece) + _bytes(after.slice(0, 1)) > limit


def _bytes(piece: pa.RecordBatch) -> int:
    return sum(len((text or "").encode()) for row in piece.to_pylist() for text in row.values())


@pytest.mark.parametrize("names", [[None], [None, "champion"], ["champion", None]])
def test_entity_without_a_name_does_not_count_as_renamed(names: list[str | None]) -> None:
    entities = [
        {
            "served_entity_id": f"id{number}",
            "served_entity_name": name,
            "entity_version": "3",
            "change_time": datetime(2026, 1, 1, tzinfo=UTC),
        }
        for number, name in enumerate(names)
    ]
    served = records.read_served_entities(pa.Table.from_pylist(entities, SERVED_ENTITIES))
    assert served == {f"id{number}": (name, "3") for number, name in enumerate(names)}
    rows: list[dict[str, Any]] = [
        {
            "request_date": date(2026, 1, 1),
            "served_entity_id": entity,
            "served_entity_name": name,
            "model_version": version,
        }
        for entity, (name, version) in served.items()
    ]
    log = pa.Table.from_pylist(rows, inference_log(TABLE))
    assert records.days_with_new_names(log, served) == set()
    rows[0]["model_version"] = "2"
    assert records.days_with_new_names(
        pa.Table.from_pylist(rows, inference_log(TABLE)), served
    ) == {date(2026, 1, 1)}
