"""Counting on DuckDB: options that do not fit the log."""

import pytest
from support.random_log import OPTIONS, make_log

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
        ({"slices": ("height",), "max_slice_values": 2}, "'height' has"),
        ({"max_cells": 700}, "936 of them in the column universe"),
    ],
    ids=["unknown column", "text as number", "number as category", "invalid slice",
         "too many slice values", "too many values"],
)  # fmt: skip
def test_error_names_option_and_column(changed: dict[str, object], message: str) -> None:
    options = OPTIONS.model_copy(update=changed)
    with pytest.raises(ProjectError, match="monitoring") as raised:
        counting.count(relation(make_log(500)), options)
    assert message in str(raised.value)
