"""Requests are read in pieces that fit into memory."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from marvel_kedro import request_log

BODIES = st.lists(st.tuples(*[st.none() | st.text(max_size=9)] * 2), max_size=30)


@given(bodies=BODIES, most=st.integers(1, 40))
def test_pieces_have_no_more_bytes_than_are_read_at_once(
    bodies: list[tuple[str | None, str | None]], most: int
) -> None:
    rows = [{"request": request, "response": response} for request, response in bodies]
    schema = pa.schema([("request", pa.string()), ("response", pa.string())])
    batch = pa.RecordBatch.from_pylist(rows, schema)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(request_log, "_BYTES", most)
        pieces = list(request_log.pieces(batch))
    assert [row for piece in pieces for row in piece.to_pylist()] == rows
    assert all(_bytes(piece) <= most or len(piece) == 1 for piece in pieces)
    for piece, after in pairwise(pieces):  # none is shorter than it has to be
        assert _bytes(piece) + _bytes(after.slice(0, 1)) > most


def _bytes(piece: pa.RecordBatch) -> int:
    return sum(len((text or "").encode()) for row in piece.to_pylist() for text in row.values())
