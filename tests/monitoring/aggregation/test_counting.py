"""Counting on DuckDB: options that do not fit the log, and values beyond the bounds."""

import logging

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from support.random_log import OPTIONS, make_log
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring.aggregation import counting
from marvel_kedro.table.local_engine import relation


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"columns": {"strength": "number"}}, "no column strength"),
        ({"columns": {"universe": "number"}}, "universe is declared as number"),
        ({"columns": {"height": "category"}}, "height is declared as category"),
        ({"slices": ("strength > 3",)}, "cannot read 'strength > 3'"),
        ({"max_cells": 9}, "without any slice"),
    ],
    ids=["unknown column", "text as number", "number as category", "invalid slice",
         "too many values"],
)  # fmt: skip
def test_error_names_option_and_column(changed: dict[str, object], message: str) -> None:
    options = OPTIONS.model_copy(update=changed)
    with pytest.raises(ProjectError, match="monitoring") as raised:
        counting.count(relation(make_log(500)), options, TABLE.target)
    assert message in str(raised.value)


def test_rare_values_of_a_slice_are_counted_as_one(caplog: pytest.LogCaptureFixture) -> None:
    """The most frequent are measured on their own, ties by value; no record is lost."""
    genders = ["Male"] * 50 + ["Female"] * 40 + [f"g{n % 30:02}" for n in range(60)] + [None] * 9
    log = make_log(len(genders)).set_column(4, "gender", pa.array(genders))
    options = OPTIONS.model_copy(update={"max_slice_values": 3, "granularities": ("1 year",)})
    with caplog.at_level(logging.WARNING):
        *_, scores = counting.count(relation(log), options, TABLE.target)
    of_gender = scores.filter(pc.field("_slice") == "_slice_0").group_by("_slice_value")
    rows = of_gender.aggregate([("rows", "sum")]).to_pylist()
    assert {row["_slice_value"]: row["rows_sum"] for row in rows} == {
        "Male": 50, "Female": 40, "g00": 2, "(other values)": 58,
    }  # fmt: skip
    assert (
        "gender has more than 3 values; the most frequent of each year are measured" in caplog.text
    )
    assert "the 58 records of the others as one slice, (other values)" in caplog.text


@pytest.mark.parametrize(
    ("max_cells", "texts", "numbers", "slices"),
    [
        (100_000, {"universe"}, {"name", "height", "probability"}, 3),
        (3000, {"universe"}, {"name", "height"}, 3),  # probability has most values
        (1100, {"universe"}, {"name"}, 2),
    ],
)
def test_columns_and_slices_with_too_many_values_are_left_out(
    max_cells: int,
    texts: set[str],
    numbers: set[str],
    slices: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    options = OPTIONS.model_copy(update={"max_cells": max_cells})
    found = counting.count(relation(make_log(500)), options, TABLE.target)
    measured = [{*table["column_name"].to_pylist()} for table in found[:2]]
    assert measured == [texts, numbers]
    assert all(len({*table["_slice"].to_pylist()}) == slices for table in found)
    assert ("not measured" in caplog.text) == (max_cells < 100_000)
