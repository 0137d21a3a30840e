"""Scores of raw records: any field value, alone or in a batch."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from support.table import TABLE

from marvel_kedro.model.portable import fields, predictor
from marvel_kedro.model.portable.predictor import TabularModel

RECORD = {
    "name": "Vik Dellquist",
    "universe": "Earth-616",
    "identity": "Public",
    "gender": "Female",
    "marital_status": "Single",
    "teams": "Iron Legion; formerly Amber Watch",
    "origin": "Human mutate [ 1 ]",
    "height": 1.8,
    "weight": 70.0,
}


def probability(model: TabularModel, record: dict[str, Any]) -> float:
    return float(model.probabilities(pd.DataFrame([record], dtype=object))[0])


def test_record_scores_the_same_alone_and_in_batch(
    model: TabularModel, characters: pd.DataFrame
) -> None:
    batch = model.predict(characters)
    for row in range(0, len(characters), 37):
        alone = model.predict(characters.iloc[[row]])
        assert_frame_equal(alone, batch.iloc[[row]], check_exact=True)


def test_order_of_rows_and_columns_has_no_effect(
    model: TabularModel, characters: pd.DataFrame
) -> None:
    shuffled = characters.sample(frac=1, random_state=0)[sorted(characters.columns, reverse=True)]
    assert_frame_equal(model.predict(shuffled).sort_index(), model.predict(characters))


def test_chunk_size_has_no_effect(
    model: TabularModel, characters: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.predict(characters)
    monkeypatch.setattr(predictor, "_CHUNK_ROWS", 7)
    assert_frame_equal(model.predict(characters), whole, check_exact=True)


def test_empty_frame_has_empty_result(model: TabularModel) -> None:
    scored = model.predict(pd.DataFrame({"name": []}))
    assert scored.empty
    assert list(scored.columns) == ["prediction", "probability"]


@pytest.mark.parametrize("column", [*TABLE.inputs])
@pytest.mark.parametrize(
    "missing",
    [None, math.nan, "", "  ", pd.NA, pd.NaT, Decimal("NaN"), [], {}, b"x", np.array([1])],
    ids=repr,
)
def test_missing_value_scores_as_absent_field(
    model: TabularModel, column: str, missing: Any
) -> None:
    absent = {name: value for name, value in RECORD.items() if name != column}
    assert probability(model, RECORD | {column: missing}) == probability(model, absent)


@pytest.mark.parametrize("height", [0, -1, -1.0, "-1", math.inf, "inf", "1,80", "tall", True, 1e9])
def test_invalid_number_scores_as_absent_field(model: TabularModel, height: Any) -> None:
    absent = {name: value for name, value in RECORD.items() if name != "height"}
    assert probability(model, RECORD | {"height": height}) == probability(model, absent)


def test_number_as_text_equals_number() -> None:
    assert fields.number("1.80") == fields.number(1.8) == fields.number(np.float64(1.8)) == 1.8
    assert fields.number(" 2 ") == fields.number(2) == 2.0
    assert fields.number(Decimal("1.8")) == 1.8
    assert math.isnan(fields.number(np.bool_(True)))


def test_case_and_white_space_have_no_effect(model: TabularModel) -> None:
    shouted = {k: f"  {v.upper()} " if isinstance(v, str) else v for k, v in RECORD.items()}
    assert probability(model, shouted) == probability(model, RECORD)


def test_unseen_categories_score_alike(model: TabularModel) -> None:
    one = probability(model, RECORD | {"gender": "Q", "identity": "W", "marital_status": "E"})
    two = probability(model, RECORD | {"gender": "R", "identity": "T", "marital_status": "Y"})
    assert one == two


def test_equal_numbers_and_booleans_keep_their_own_text_in_batch(model: TabularModel) -> None:
    """1, 1.0 and True are equal in Python, but their texts differ."""
    values = [1, 1.0, True, "1", "1.0", "True"]
    batch = model.probabilities(pd.DataFrame([RECORD | {"universe": value} for value in values]))
    alone = [probability(model, RECORD | {"universe": value}) for value in values]
    assert batch.tolist() == alone


@pytest.fixture(scope="session")
def model_box(model: TabularModel) -> list[TabularModel]:
    """Wrap a model so that hypothesis does not print its fields."""

    class Box(list[TabularModel]):
        def __repr__(self) -> str:
            return "Box"

    return Box([model])


ANYTHING = st.one_of(
    st.none(),
    st.text(),
    st.text(st.characters(exclude_categories=())),  # including lone surrogates
    st.integers(-(2**53), 2**53),
    st.floats(),
    st.decimals(),
    st.booleans(),
    st.binary(),
    st.dates(),
    st.lists(st.text(), max_size=2),
)


@given(
    st.lists(st.dictionaries(st.sampled_from([*RECORD, "other"]), ANYTHING), min_size=1, max_size=8)
)
def test_any_record_is_scored_and_equally_alone(
    model_box: list[TabularModel], records: list[dict[str, Any]]
) -> None:
    (model,) = model_box
    together = model.probabilities(pd.DataFrame(records, dtype=object))
    assert ((together > 0) & (together < 1)).all()
    for record, expected in zip(records, together, strict=True):
        assert probability(model, record) == expected


def test_records_without_fields_are_scored(model: TabularModel) -> None:
    scored = model.predict(pd.DataFrame([{}, {}]))
    assert scored["probability"].tolist() == [probability(model, {"name": None})] * 2


def test_words_are_found_in_linear_time() -> None:
    """A pattern that went back would take hours here."""
    assert fields.words("[" * 1_000_000) == []


def test_words_are_singular_and_of_any_alphabet() -> None:
    assert fields.words("human mutants [ 12 ], gas d'or größe") == [
        *("human", "mutant", "gas", "d'or", "größe")
    ]


def test_saved_model_loads_equal(model: TabularModel, tmp_path: Any) -> None:
    model.save(tmp_path)
    assert TabularModel.load(tmp_path) == model
    assert TabularModel.load(tmp_path).digest == model.digest


def test_importances_name_every_feature(model: TabularModel) -> None:
    importances = model.importances()
    assert set(importances.index) == set(model.features.names)
    assert importances.is_monotonic_decreasing
