import pandas as pd
import pytest
from support.raw_rows import raw_rows
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table import quality
from marvel_kedro.table.cleaning import read_source
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.options import QualityOptions

OPTIONS = QualityOptions()


def with_values(**values: tuple[str, ...]) -> TableSpec:
    columns = {
        name: column.model_copy(update={"values": values.get(name, ())})
        for name, column in TABLE.columns.items()
    }
    return TABLE.model_copy(update={"columns": columns})


def test_summary_counts_rejected_rows_nulls_and_unexpected_values() -> None:
    raw = raw_rows(
        {"PageID": "1", "Gender": "Agender", "Height (m)": "1,80"},
        {"PageID": "2", "Gender": "Agender", "Identity": "", "Height (m)": "2"},
        {"PageID": "3", "Alive": "?"},
        {"PageID": ""},
    )
    table = with_values(gender=("Male", "Female"), identity=("Public",))
    summary = quality.summarise(read_source(raw, table), table, OPTIONS)
    assert summary["rows_in"] == 4
    assert summary["rows_kept"] == 2
    assert summary["rejected"] == {"no page_id": 1, "unknown alive": 1}
    assert summary["nulls"]["identity"] == 1
    assert summary["unusable"] == {"height": 1, "weight": 0}
    assert summary["new_categories"] == {"gender": {"Agender": 2}, "identity": {}}
    assert quality.metrics(summary) == {
        "rows_in": 4,
        "rows_kept": 2,
        "rows_rejected": 2,
        "new_gender_rows": 2,
        "new_identity_rows": 0,
    }


def test_new_categories_beyond_listed_examples_are_counted() -> None:
    rows = pd.DataFrame({"gender": [f"new {number % 5}" for number in range(12)], "reason": None})
    for column in set(TABLE.columns) - {"gender"}:
        rows[column] = None
    rows = rows.astype("str").where(rows.notna(), None)
    summary = quality.summarise(rows, with_values(gender=("Male",)), QualityOptions(examples=2))
    assert summary["new_categories"] == {"gender": {"new 0": 3, "new 1": 3}}
    assert quality.metrics(summary)["new_gender_rows"] == 12


def test_file_without_usable_row_is_refused_with_reasons() -> None:
    rows = read_source(raw_rows({"Alive": "alive"}, {"PageID": ""}), TABLE)
    with pytest.raises(ProjectError, match="'no page_id': 1, 'unknown alive': 1"):
        quality.require_usable_rows(quality.summarise(rows, TABLE, OPTIONS), TABLE)
