"""Batches on a Spark worker."""

import pandas as pd
import pyarrow as pa
import pytest

from marvel_kedro.model import batch


def test_small_batches_are_joined_without_losing_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "BATCH_ROWS", 5)
    small = [pd.DataFrame({"page_id": [f"{n}", f"{n}b"]}) for n in range(4)]
    joined = list(batch.larger(small))
    assert [len(records) for records in joined] == [6, 2]
    assert pd.concat(joined)["page_id"].to_list() == pd.concat(small)["page_id"].to_list()
    assert not list(batch.larger([]))


def test_text_of_joined_batches_is_not_chunked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sail accepts an Arrow array, but not a chunked one."""

    class ConstantModel:
        metadata = type("Metadata", (), {"get_input_schema": staticmethod(lambda: None)})

        def predict(self, records: pd.DataFrame) -> pd.DataFrame:
            return pd.DataFrame({"prediction": "Alive", "probability": 0.5}, index=records.index)

    monkeypatch.setattr(batch, "_load", lambda _: ConstantModel())
    monkeypatch.setattr(batch, "conform", lambda records, _: records)
    pieces = [pd.DataFrame({"page_id": pd.Series([name], dtype="str")}) for name in "ab"]
    (records,) = batch.larger(pieces)
    scored = batch.score_records(records, "page_id", b"")
    assert isinstance(pa.Array.from_pandas(scored["page_id"]), pa.Array)
    assert scored["page_id"].to_list() == ["a", "b"]
