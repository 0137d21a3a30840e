import math
import sqlite3
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kedro.io import DatasetError

from marvel_kedro.datasets.online_table import OnlineTableDataset
from marvel_kedro.project.error_messages import explain

ROWS = {
    "page_id": ["b", "Ö_(Earth-1)", "a", "\U0001f9b8", "\uffff"],
    "name": ['B "b"', None, "A", "", "x"],
    "height": [1.5, None, math.nan, 2.0, 1e-9],
}


def save(path: Path, frame: Any) -> bytes:
    OnlineTableDataset(str(path)).save(frame)
    return path.read_bytes()


def test_file_is_the_same_for_any_engine_and_row_order(tmp_path: Path) -> None:
    pandas, polars = pd.DataFrame(ROWS), pl.DataFrame(ROWS, strict=False)
    first = save(tmp_path / "a.db", pandas)
    for number, frame in enumerate((pandas.iloc[::-1], polars, polars.lazy())):
        assert save(tmp_path / f"{number}.db", frame) == first
    loaded = OnlineTableDataset(str(tmp_path / "a.db")).load()
    expected = pandas.sort_values("page_id", ignore_index=True)
    pd.testing.assert_frame_equal(loaded, expected, check_dtype=False)


@given(
    ids=st.lists(st.text(st.characters(exclude_categories=["Cs"])), unique=True, max_size=20),
    data=st.data(),
)
def test_load_returns_the_saved_rows(ids: list[str], data: st.DataObject) -> None:
    texts = data.draw(
        st.lists(
            st.none() | st.text(st.characters(exclude_categories=["Cs"])),
            min_size=len(ids),
            max_size=len(ids),
        )
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.db"
        save(path, pl.DataFrame({"page_id": ids, "name": texts}, schema_overrides=_TEXTS))
        loaded = OnlineTableDataset(str(path)).load().to_dict("records")
    known = {row["page_id"]: None if row["name"] is None else row["name"] for row in loaded}
    assert {k: v if isinstance(v, str) else None for k, v in known.items()} == dict(
        zip(ids, texts, strict=True)
    )


_TEXTS = {"page_id": pl.String, "name": pl.String}


def test_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    before = save(path, pd.DataFrame(ROWS))
    twice = pd.DataFrame({"page_id": ["a", "a"], "name": ["x", "y"]})
    with pytest.raises(DatasetError, match="UNIQUE"):
        OnlineTableDataset(str(path)).save(twice)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_full_temporary_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("marvel_kedro.datasets.online_table.sqlite3.connect", full)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(DatasetError) as caught:
        OnlineTableDataset(str(tmp_path / "t.db")).save(pd.DataFrame(ROWS))
    assert "disk is full" in (message := explain(caught.value) or "")
    assert f"made in {tmp_path}" in message
    assert "set TMPDIR" in message


def test_preview_has_the_first_rows_as_json_values(tmp_path: Path) -> None:
    save(tmp_path / "t.db", pd.DataFrame(ROWS))
    preview: Any = OnlineTableDataset(str(tmp_path / "t.db")).preview(2)
    assert preview["columns"] == ["page_id", "name", "height"]
    assert preview["data"] == [["a", "A", None], ["b", 'B "b"', 1.5]]
