"""Metric expressions over the columns of a table."""

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
        ("low / count", [0.0625, None, None]),  # division by 0
        ("0 * count / count", [0, None, None]),
        ("max(low, 1)", [1, 1, 2]),
        ("min(low, high)", [0.25, None, None]),
        ("abs(low - 1)", [0.75, 0.875, 1]),
        ("hypot(low * 12, low * 16)", [5, 2.5, 40]),
        ("3", [3, 3, 3]),
    ],
)
def test_expression_is_evaluated_for_every_row(
    expression: str, expected: list[float | None]
) -> None:
    found = expressions.values(expression, TABLE)
    assert [None if math.isnan(value) else value for value in found] == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("hight", "there is no column 'hight'"),
        ("name", "'name' is not a number, but string"),
        ("ks_test", "is not a number"),
        ("ks_test.p", "there is no 'p' in it"),
        ("low.high", "there is no 'high' in it"),
        ("low +", "is not a valid expression"),
        ("low ** 2", "is not supported"),
        ("low > 1", "is not supported"),
        ("abs(low, 1)", "is not supported"),
        ("abs()", "is not supported"),
        ("max(low, key=1)", "is not supported"),
        ("__import__('os')", "is not supported"),
        ("(low for low in 1)", "is not supported"),
        ("True", "is not supported"),
    ],
)
def test_invalid_expression_is_rejected_with_the_reason(expression: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected.replace("(", r"\(")):
        expressions.values(expression, TABLE)
    with pytest.raises(ValueError, match=expected.replace("(", r"\(")):
        expressions.check(expression, TABLE.schema)


def test_columns_lists_dotted_names_in_order() -> None:
    names = expressions.columns("first(ks_test.pvalue, max(a, 2)) - b.c.d")
    assert names == ["ks_test.pvalue", "a", "b.c.d"]


def test_nested_numbers_of_the_metric_tables_can_be_named() -> None:
    expressions.check("roc_auc_score.one_vs_one.weighted", tables.PROFILE_METRICS)
    expressions.check("precision.one_vs_all.Alive - count", tables.PROFILE_METRICS)
    expressions.check("chi_squared_test.pvalue", tables.DRIFT_METRICS)
