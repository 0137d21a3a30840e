"""Requests are read in pieces that fit into memory, and days once."""

from datetime import UTC, date, datetime
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marvel_kedro.monitoring.inference_log import records
from marvel_kedro.monitoring.tables import INFERENCE_LOG, SERVED_ENTITIES

BODIES = st.lists(st.tuples(*[st.none() | st.text(max_size=9)] * 2), max_size=30)


@given(bodies=BODIES, most=st.integers(1, 40))
def test_pieces_have_no_more_bytes_than_are_read_at_once(
    bodies: list[tuple[str | None, str | None]], most: int
) -> None:
    rows = [{"request": request, "response": response} for request, response in bodies]
    schema = pa.schema([("request", pa.string()), ("response", pa.string())])
    batch = pa.RecordBatch.from_pylist(rows, schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "_BYTES", most)
        pieces = list(records.pieces(batch))
    assert [row for piece in pieces for row in piece.to_pylist()] == rows
    assert all(_bytes(piece) <= most or len(piece) == 1 for piece in pieces)
    for piece, after in pairwise(pieces):  # none is shorter than it has to be
        assert _bytes(piece) + _bytes(after.slice(0, 1)) > most


def _bytes(piece: pa.RecordBatch) -> int:
    return sum(len((text or "").encode()) for row in piece.to_pylist() for text in row.values())


@pytest.mark.parametrize("names", [[None], [None, "champion"], ["champion", None]])
def test_a_day_whose_entity_has_no_name_is_not_read_again(names: list[str | None]) -> None:
    entities = [
        {
            "served_entity_id": f"id{number}",
            "served_entity_name": name,
            "entity_version": "3",
            "change_time": datetime(2026, 1, 1, tzinfo=UTC),
        }
        for number, name in enumerate(names)
    ]
    served = records.served_by_id(pa.Table.from_pylist(entities, SERVED_ENTITIES).to_pandas())
    assert served == {f"id{number}": (name, "3") for number, name in enumerate(names)}
    told: list[dict[str, Any]] = [
        {
            "request_date": date(2026, 1, 1),
            "served_entity_id": entity,
            "served_entity_name": name,
            "model_version": version,
        }
        for entity, (name, version) in served.items()
    ]
    log = pa.Table.from_pylist(told, INFERENCE_LOG)
    assert records.renamed(log, served) == set()
    told[0]["model_version"] = "2"
    assert records.renamed(pa.Table.from_pylist(told, INFERENCE_LOG), served) == {date(2026, 1, 1)}
