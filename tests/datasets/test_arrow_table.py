"""Small tables of Parquet that people bring: labels."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from kedro.io import DatasetError
from support.table import TABLE

from marvel_kedro.datasets.arrow_table import ArrowTableDataset

AT = datetime(2026, 1, 31, 18, 0, 0, 123456, tzinfo=UTC)


def labels(folder: Path, labelled_at: Any) -> ArrowTableDataset:
    path = folder / "labels.parquet"
    columns = {"page_id": ["1"], "alive": ["Alive"], "labelled_at": labelled_at}
    pq.write_table(pa.table(columns), path)
    return ArrowTableDataset(str(path), "LABELS", TABLE.model_dump())


@pytest.mark.parametrize(
    "labelled_at",
    [
        pytest.param(["2026-01-31T18:00:00.123456Z"], id="text"),
        pytest.param(["2026-01-31 19:00:00.123456+01:00"], id="text with an offset"),
        pytest.param(["2026-01-31 18:00:00.123456"], id="text without an offset"),
        pytest.param([AT.replace(tzinfo=None)], id="time without an offset"),
        pytest.param(pd.DatetimeIndex(["2026-01-31T18:00:00.123456789Z"]), id="nanoseconds"),
    ],
)
def test_times_of_labels_are_read_as_utc(
    tmp_path: Path,
    labelled_at: Any,
) -> None:
    assert labels(tmp_path, labelled_at).load()["labelled_at"].to_pylist() == [AT]


@pytest.mark.parametrize("text", ["yesterday", "31.01.2026 18:00"])
def test_text_that_is_no_time_names_its_column(tmp_path: Path, text: str) -> None:
    with pytest.raises(DatasetError, match=f"labelled_at: .*{text}"):
        labels(tmp_path, [text]).load()
