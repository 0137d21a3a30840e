from typing import Any

import pandas as pd
import pytest
from omegaconf import OmegaConf
from support.project import ROOT
from support.raw_rows import ROW, raw_rows, usable
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.portable import fields
from marvel_kedro.table import cleaning
from marvel_kedro.table.options import MISSING_MARKERS, ProcessingOptions


def test_cleaning_renames_and_orders_columns() -> None:
    table = usable(raw_rows({}))
    assert tuple(table.columns) == tuple(TABLE.columns)
    assert table.loc[0, "name"] == "A"


def test_cleaning_makes_blank_cells_null_and_strips_text() -> None:
    table = usable(raw_rows({"Teams": "  ", "Origin": " Human mutate "}))
    assert table["teams"].isna().all()
    assert table.loc[0, "origin"] == "Human mutate"


def test_cleaning_fills_absent_optional_columns_with_nulls() -> None:
    assert usable(raw_rows({}))[["url", "creators"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1.80", 1.8),
        ("18", 18.0),
        ("", None),
        ("-1", None),
        ("0", None),
        ("inf", None),
        ("nan", None),
        ("1,80", None),
        ("6 ft", None),
        ("1e3", 1000.0),
        ("2E-05", 2e-5),
        ("e3", None),
    ],
)
def test_measurement_is_plain_positive_number_or_null(cell: str, number: float | None) -> None:
    value = usable(raw_rows({"Height (m)": cell}))["height"].iloc[0]
    assert pd.isna(value) if number is None else value == number


def test_missing_column_is_named_in_error() -> None:
    with pytest.raises(ProjectError, match=r"lacks the columns \['Alive'\]"):
        cleaning.read_source(raw_rows({}).drop(columns="Alive"), TABLE)


def test_file_separated_by_semicolons_is_recognised_in_error() -> None:
    raw = pd.DataFrame({";".join(ROW): ["a;b"]})
    with pytest.raises(ProjectError, match="separated by semicolons"):
        cleaning.read_source(raw, TABLE)


def test_markers_are_missing_as_the_setting_says() -> None:
    raw = raw_rows({"Teams": "?; One", "Gender": "?", "Origin": "NA"})
    options = ProcessingOptions(missing_markers=["?"])
    (row,) = cleaning.select_usable(
        cleaning.read_source(raw, TABLE, options), TABLE, options
    ).to_dict("records")
    assert (row["teams"], row["origin"]) == ("One", "NA")
    assert pd.isna(row["gender"])
    none = ProcessingOptions(missing_markers=[])
    (row,) = cleaning.select_usable(cleaning.read_source(raw, TABLE, none), TABLE, none).to_dict(
        "records"
    )
    assert (row["teams"], row["gender"]) == ("?; One", "?")


def test_default_markers_are_those_of_the_configuration() -> None:
    text = (ROOT / "conf" / "base" / "processing" / "parameters.yml").read_text("utf-8")
    configured: Any = OmegaConf.to_container(OmegaConf.create(text))
    assert configured["processing"]["missing_markers"] == list(MISSING_MARKERS)
    assert {marker.lower() for marker in MISSING_MARKERS} <= fields.MISSING_TEXTS


def test_header_line_with_byte_order_mark_is_rejected() -> None:
    header = {name: name for name in ROW} | {"PageID": "\ufeffPageID"}
    rows = cleaning.read_source(raw_rows({}, header, {"PageID": "PageID", "Alive": "Dead"}), TABLE)
    assert rows["reason"].fillna("").to_list() == ["", "header line", ""]
