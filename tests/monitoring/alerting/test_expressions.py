"""Expressions over the columns of a table."""

import math

import pyarrow as pa
import pytest

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import expressions

TABLE = pa.table(
    {
        "count": pa.array([4, 0, None], pa.int64()),
        "high": pa.array([0.5, None, float("nan")]),
        "low": pa.array([0.25, 0.125, 2.0]),
        "name": ["a", "b", "c"],
        "ks_test": pa.array(
            [{"statistic": 0.5, "pvalue": 0.1}, None, {"statistic": None, "pvalue": 1.0}],
            pa.struct([("statistic", pa.float64()), ("pvalue", pa.float64())]),
        ),
        "parity": pa.array(
            [{"one_vs_all": {"Alive": 0.75, "Dead": 0.5}}, None, {"one_vs_all": {"Dead": 1.0}}],
            pa.struct([("one_vs_all", pa.map_(pa.string(), pa.float64()))]),
        ),
    }
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("count", [4, 0, None]),
        ("low", [0.25, 0.125, 2]),
        ("ks_test.statistic", [0.5, None, None]),
        ("parity.one_vs_all.Alive", [0.75, None, None]),
        ("first(high, ks_test.pvalue, 7)", [0.5, 7, 1]),
        ("1 - low * 2", [0.5, 0.75, -3]),
        ("-(low - 1)", [0.75, 0.875, -1]),
        ("low / count", [0.0625, None, None]),  # by 0: no figure
        ("0 * count / count", [0, None, None]),
        ("max(low, 1)", [1, 1, 2]),
        ("min(low, high)", [0.25, None, None]),
        ("abs(low - 1)", [0.75, 0.875, 1]),
        ("hypot(low * 12, low * 16)", [5, 2.5, 40]),
        ("3", [3, 3, 3]),
    ],
)
def test_what_an_expression_gives(expression: str, expected: list[float | None]) -> None:
    found = expressions.values(expression, TABLE)
    assert [None if math.isnan(value) else value for value in found] == expected


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("hight", "there is no column 'hight'"),
        ("name", "'name' is no number, but string"),
        ("ks_test", "is no number"),
        ("ks_test.p", "there is no 'p' in it"),
        ("low.high", "there is no 'high' in it"),
        ("low +", "is no expression"),
        ("low ** 2", "is not understood"),
        ("low > 1", "is not understood"),
        ("abs(low, 1)", "is not understood"),
        ("abs()", "is not understood"),
        ("max(low, key=1)", "is not understood"),
        ("__import__('os')", "is not understood"),
        ("(low for low in 1)", "is not understood"),
        ("True", "is not understood"),
    ],
)
def test_what_is_no_expression(expression: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        expressions.values(expression, TABLE)
    with pytest.raises(ValueError, match=said.replace("(", r"\(")):
        expressions.check(expression, TABLE.schema)


def test_the_names_in_it() -> None:
    names = expressions.columns("first(ks_test.pvalue, max(a, 2)) - b.c.d")
    assert names == ["ks_test.pvalue", "a", "b.c.d"]


def test_every_number_of_the_tables_can_be_named() -> None:
    expressions.check("roc_auc_score.one_vs_one.weighted", tables.PROFILE_METRICS)
    expressions.check("precision.one_vs_all.Alive - count", tables.PROFILE_METRICS)
    expressions.check("chi_squared_test.pvalue", tables.DRIFT_METRICS)
