import random
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest

from marvel_kedro.table.adoption.kinds import find_kind


def kind_of(source: str, values: Sequence[str], *, comma: bool = False) -> tuple[str, Any]:
    found = find_kind(source, pd.Series(values, dtype="str").value_counts(), comma=comma)
    return found.kind, {key: value for key, value in found.options.items() if key != "feature"}


@pytest.mark.parametrize(
    ("source", "values", "kind", "options"),
    [
        ("a", ["1", "2", "-3.5"], "number", {}),
        ("a", ["0", "1"], "number", {}),
        ("a", ["1e-05", "0.5", "12"], "number", {}),
        ("a", ["1,234.5", "7"], "number", {"decimal": "."}),
        ("a", ["1,234", "12,000,000"], "number", {"decimal": "."}),
        ("a", ["1.234,5", "7"], "number", {"decimal": ","}),
        ("a", ["0,5", "1,25"], "number", {"decimal": ","}),
        ("a", ["1 234,5", "-7"], "number", {"decimal": ","}),
        ("a", ["1.234", "2.5"], "number", {}),
        ("a", ["+1", ".5", "3."], "number", {"decimal": "."}),
        ("a", ["007", "012"], "category", {}),
        ("ZIP code", ["10115", "20095", "10115"], "category", {}),
        ("account", [f"{10**17 + number}" for number in range(100)], "id", {}),
        ("customer_id", [str(number) for number in range(100)], "id", {}),
        ("store_id", ["1", "2"] * 50, "category", {}),
        ("year", ["1999", "2024"], "number", {}),
        ("a", ["Yes", "no"], "boolean", {}),
        ("a", ["true", "False"], "boolean", {}),
        ("a", ["ja", "nein"], "category", {}),
        ("a", ["2024-01-31", "2024-02-01 12:30:00"], "date", {}),
        ("a", ["2024-01-31T10:00:00Z", "2024-02-01T10:00:00+01:00"], "date", {}),
        ("a", ["31.01.2024", "01.12.2023"], "date", {"format": "%d.%m.%Y"}),
        ("a", ["01/31/2024", "12/01/2023"], "date", {"format": "%m/%d/%Y"}),
        ("a", ["31/01/2024 10:05", "01/12/2023 9:00"], "date", {"format": "%d/%m/%Y %H:%M"}),
        ("a", ["Jan 31, 2024", "Feb 1, 2024"], "date", {"format": "%b %d, %Y"}),
        ("date", ["20240131", "20231201"], "date", {"format": "%Y%m%d"}),
        ("a", ["20240131", "20231201"], "number", {}),
        ("a", ["Aug-62", "Mar-41"], "category", {}),
        ("a", ["24.12.62", "31.01.24"], "category", {}),
        ("a", ["a;b", "b", "a", "a;b;c", ""] * 9, "set", {"separator": ";"}),
        ("a", ["red, blue", "blue", "red"] * 9, "set", {"separator": ","}),
        ("a", ["London, UK", "Paris, FR"] * 9, "category", {}),
        ("a", ["x", "y", "x"], "category", {}),
        ("a", [f"word {number} of a text with words" for number in range(200)], "text", {}),
        ("token", [f"AB{number}C" for number in range(200)], "id", {}),
    ],
)
def test_kind_is_that_of_the_values(
    source: str, values: list[str], kind: str, options: dict[str, Any]
) -> None:
    filled = [value for value in values if value]
    assert kind_of(source, filled) == (kind, options)
    random.Random(1).shuffle(filled)
    assert kind_of(source, filled) == (kind, options), "whatever the order of the rows"


def test_decimal_commas_of_other_columns_decide_what_is_ambiguous() -> None:
    assert kind_of("a", ["1.234", "2.500"]) == ("number", {})
    assert kind_of("a", ["1.234", "2.500"], comma=True) == ("number", {"decimal": ","})
    assert kind_of("a", ["1,234", "2,5"], comma=True) == ("number", {"decimal": ","})
    assert kind_of("a", ["12.5", "2.25"], comma=True) == ("number", {})
