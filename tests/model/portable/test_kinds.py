"""Features by kind of column, and a table's own: the same for one record and for many."""

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from support.churn import CHURN, customers

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.features import Features
from marvel_kedro.model.portable.kinds import ColumnEncoder, Encoder
from marvel_kedro.model.portable.predictor import TabularModel

OWN = '''
"""Features of customers."""
import math
from datetime import datetime

def debt(balance: float, age: float) -> float:
    return balance / (age - 40)

def contact(last_call: str, plan: str) -> dict[str, float]:
    day = datetime.fromisoformat(last_call.upper()).day if last_call else math.nan
    return {"call_day": day, "basic_call": plan == "basic" and bool(last_call)}

def _hidden(balance: float) -> float:
    return balance
'''


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    return customers()


@pytest.fixture(scope="module")
def churn(table: pd.DataFrame) -> TabularModel:
    return fit(table, CHURN, FitOptions(max_trees=60))


@pytest.fixture(scope="module")
def with_own(table: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> TabularModel:
    return fit_with(OWN, table, tmp_path_factory.mktemp("own"))


def fit_with(source: str, table: pd.DataFrame, folder: Path) -> TabularModel:
    name = f"own_{folder.name.replace('-', '_')}"
    (folder / f"{name}.py").write_text(source, "utf-8")
    sys.path.insert(0, str(folder))
    try:
        described = CHURN.model_copy(update={"features": name})
        return fit(table, described, FitOptions(max_trees=20, min_trees=5))
    finally:
        sys.path.remove(str(folder))


def encoded(kind: str, values: list[Any], **more: Any) -> list[list[float]]:
    """Return the features of values, which must be the same one by one."""
    features = Features(Encoder(0.25, {"x": ColumnEncoder(kind, **more)}), [])
    rows = features.encode(pd.DataFrame({"x": pd.Series(values, dtype=object)}))
    alone = [
        np.frombuffer(b"".join(one({"x": value}) for one in features.field_encoders()), np.float32)
        for value in values
    ]
    np.testing.assert_array_equal(rows, np.array(alone))
    return rows.tolist()


def test_number_is_its_value_between_the_bounds_of_the_column() -> None:
    values = [-3.5, "2e-05", "1,5", 0, 1e300, None, True]
    same = [pytest.approx(one, nan_ok=True) for one in (-3.5, 2e-5, math.nan, 0, math.inf)]
    assert [row[0] for row in encoded("number", values)][:5] == same
    assert [math.isnan(row[0]) for row in encoded("number", values, above=0, below=1)] == [
        *(True, False, True, True, True, True, True)
    ]


def test_boolean_is_one_or_zero_in_many_words() -> None:
    rows = encoded("boolean", ["Yes", "no", True, False, "1", "0.0", 1, "?"])
    assert [row[0] for row in rows[:7]] == [1, 0, 1, 0, 1, pytest.approx(math.nan, nan_ok=True), 1]
    assert math.isnan(rows[7][0])


def test_few_values_of_a_category_are_ranked_and_many_have_rows_and_rate() -> None:
    few = encoded("category", ["basic", "Plus", "other", None], parts=("plus", "basic"))
    assert few == [[2], [1], [3], [0]]
    many = encoded("category", ["Rome", "Oslo"], rates={"rome": (3.0, 0.5)})
    assert many[0] == [pytest.approx(math.log(4)), 0.5]
    assert many[1] == [0, 0.25]
    assert encoded("id", ["Rome", "Oslo"], rates={"rome": (3.0, 0.5)}) == many


def test_text_has_words_length_and_frequent_words() -> None:
    rows = encoded("text", ["Two red cars", None], parts=("car", "blue"))
    assert rows == [[3, 12, 1, 0], [0, 0, 0, 0]]


def test_set_has_size_and_frequent_items() -> None:
    rows = encoded("set", ["A | b||", "b", None], separator="|", parts=("b", "c"))
    assert rows == [[2, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_date_has_days_and_parts_in_utc() -> None:
    given = ["1970-01-02", "1970-01-02T03:30:00+02:00", "2000-02-29 12:00", "02.01.1970", None]
    rows = encoded("date", given)
    assert rows[0] == [1, 1, 2, 4, 0]
    assert rows[1] == [pytest.approx(1 + 1.5 / 24), 1, 2, 4, 1]
    assert rows[2] == [pytest.approx(11016.5), 2, 29, 1, 12]
    assert all(math.isnan(one) for row in rows[3:] for one in row)
    assert encoded("date", ["02.01.1970", "2. Jan"], format="%d.%m.%Y")[0] == [1, 1, 2, 4, 0]


def test_default_features_find_what_decides(table: pd.DataFrame) -> None:
    train, test = table.iloc[::2].reset_index(drop=True), table.iloc[1::2]
    model = fit(train, CHURN, FitOptions())
    assert model.classes == ("Yes", "No")
    assert roc_auc_score(test["churned"] == "Yes", model.probabilities(test)) > 0.7
    assert "balance" in model.importances().index[:3]


@pytest.mark.parametrize("name", ["churn", "with_own"])
def test_records_score_alike_alone_in_batch_and_after_loading(
    name: str, table: pd.DataFrame, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: TabularModel = request.getfixturevalue(name)
    batch = model.predict(table)
    assert set(batch["prediction"]) == {"Yes", "No"}
    model.save(tmp_path)
    loaded = TabularModel.load(tmp_path)
    assert loaded == model
    records: Any = table.astype(object).where(table.notna(), None).to_dict("records")
    for scored in (model.score(records), [loaded.score([one])[0] for one in records[:40]]):
        assert scored == list(batch[: len(scored)].itertuples(index=False, name=None))


def test_own_features_read_several_columns(with_own: TabularModel) -> None:
    names = with_own.features.names
    assert names[-3:] == ["debt", "call_day", "basic_call"]
    record = {"balance": 30.0, "age": 30, "last_call": "2024-05-06T07:08:09Z", "plan": "Basic"}
    rows = with_own.features.encode(pd.DataFrame([record, {**record, "age": 40}, {"age": 50}]))
    assert rows[:, -3:].tolist()[:1] == [[-3, 6, 1]]
    assert math.isnan(rows[1, -3])  # a division by zero
    assert math.isnan(rows[2, -3])


def test_own_features_named_like_columns_and_wrapped_ones_count(
    table: pd.DataFrame, tmp_path: Path
) -> None:
    source = """
from functools import cache
def both(balance, age): return {"balance": balance / 2, "age": age / 2}
@cache
def first(plan): return len(plan.split("s")[1])
"""
    features = fit_with(source, table, tmp_path).features
    assert features.names[-2:] == ["balance", "age"]
    assert "first" in features.names
    record = {"balance": 8.0, "age": 4.0, "plan": "top"}  # without an s
    (row,) = features.encode(pd.DataFrame([record]))
    alone = b"".join(encode(record) for encode in features.field_encoders())
    assert row[-2:].tolist() == [4, 2]
    np.testing.assert_array_equal(row, np.frombuffer(alone, np.float32))
    assert math.isnan(row[features.names.index("first")])


@given(st.fixed_dictionaries({}, optional={
    "balance": st.floats(allow_nan=True) | st.integers() | st.text(max_size=5) | st.none(),
    "age": st.floats() | st.booleans(), "plan": st.text(max_size=5) | st.none(),
    "since": st.text(max_size=12) | st.dates().map(lambda day: day.strftime("%d.%m.%Y")),
    "last_call": st.text(max_size=12) | st.datetimes().map(lambda time: time.isoformat()),
    "products": st.text("ab| ", max_size=9), "paperless": st.booleans() | st.text(max_size=3),
}))  # fmt: skip
def test_any_record_scores_alike_alone_and_in_batch(
    with_own: TabularModel, record: dict[str, Any]
) -> None:
    frame = pd.DataFrame([record, {}], dtype=object)
    expected = with_own.probabilities(frame)[0] if len(frame.columns) else None
    (_, alone), *_ = with_own.score([record])
    assert expected is None or alone == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def ratio(balance, income): return 1", "ratio reads income; the model has the columns"),
        ("def constant(): return 1", "constant reads no column"),
        ("from marvel_kedro import core", "imports marvel_kedro.*saved with the model"),
        ("from . import other", r"imports \..*saved with the model"),
        ("def broken(:", r"own_.*line 1"),
        ("def wrong(age): return [age]", r"wrong must return a number or \['wrong'\]"),
    ],
)
def test_own_features_that_cannot_travel_are_refused(
    source: str, message: str, table: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(ProjectError, match=message):
        fit_with(source, table, tmp_path)


def test_example_of_the_docs_works(table: pd.DataFrame, tmp_path: Path) -> None:
    text = (Path(__file__).parents[3] / "docs" / "features.md").read_text("utf-8")
    source = text.partition("```python\n")[2].partition("```")[0]
    assert len(source.splitlines()) < 20
    features = fit_with(source, table, tmp_path).features
    names = ["debt", "call_at_weekend", "call_day"]
    record = {"balance": -30, "age": 10, "last_call": "2024-05-05T07:08:09Z"}
    row = dict(zip(features.names, features.encode(pd.DataFrame([record]))[0], strict=True))
    assert [row[name] for name in names] == [3, 1, 126]


def test_missing_module_of_features_is_named(table: pd.DataFrame) -> None:
    described = CHURN.model_copy(update={"features": "no_such.module"})
    with pytest.raises(ProjectError, match=r"table\.features is no_such\.module"):
        fit(table, described, FitOptions())


def test_table_without_group_finds_its_number_of_trees(table: pd.DataFrame) -> None:
    """All rows in one fold left the number of trees at its minimum, without a word."""
    trees = fit(table, CHURN, FitOptions(min_trees=1)).booster.num_trees()
    one = table.assign(city="Rome")
    grouped = CHURN.model_copy(update={"group": "city"})
    assert fit(one, grouped, FitOptions(min_trees=1)).booster.num_trees() > 5 < trees
