"""Raw records in, probabilities out: one answer for every field, whoever else is in the batch."""

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from marvel_kedro.model.portable import features, predictor
from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS
from marvel_kedro.model.portable.predictor import CharacterModel

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


def probability(model: CharacterModel, record: dict[str, Any]) -> float:
    return float(model.probabilities(pd.DataFrame([record], dtype=object))[0])


def test_a_record_alone_scores_as_in_a_batch(
    model: CharacterModel, characters: pd.DataFrame
) -> None:
    batch = model.predict(characters)
    for row in range(0, len(characters), 37):
        alone = model.predict(characters.iloc[[row]])
        assert_frame_equal(alone, batch.iloc[[row]], check_exact=True)


def test_the_order_of_rows_and_columns_does_not_matter(
    model: CharacterModel, characters: pd.DataFrame
) -> None:
    shuffled = characters.sample(frac=1, random_state=0)[sorted(characters.columns, reverse=True)]
    assert_frame_equal(model.predict(shuffled).sort_index(), model.predict(characters))


def test_chunks_do_not_show(
    model: CharacterModel, characters: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = model.predict(characters)
    monkeypatch.setattr(predictor, "_CHUNK_ROWS", 7)
    assert_frame_equal(model.predict(characters), whole, check_exact=True)


def test_no_rows_no_answers(model: CharacterModel) -> None:
    scored = model.predict(pd.DataFrame({"name": []}))
    assert scored.empty
    assert list(scored.columns) == ["prediction", "probability"]


@pytest.mark.parametrize("column", [*TEXT_COLUMNS, *NUMBER_COLUMNS])
@pytest.mark.parametrize(
    "missing",
    [None, math.nan, "", "  ", pd.NA, pd.NaT, Decimal("NaN"), [], {}, b"x", np.array([1])],
    ids=repr,
)
def test_every_kind_of_missing_is_as_absent(
    model: CharacterModel, column: str, missing: Any
) -> None:
    absent = {name: value for name, value in RECORD.items() if name != column}
    assert probability(model, RECORD | {column: missing}) == probability(model, absent)


@pytest.mark.parametrize("height", [0, -1, -1.0, "-1", math.inf, "inf", "1,80", "tall", True, 1e9])
def test_what_is_no_measurement_is_missing(model: CharacterModel, height: Any) -> None:
    absent = {name: value for name, value in RECORD.items() if name != "height"}
    assert probability(model, RECORD | {"height": height}) == probability(model, absent)


def test_a_number_as_text_is_that_number() -> None:
    assert (
        features.number("1.80") == features.number(1.8) == features.number(np.float64(1.8)) == 1.8
    )
    assert features.number(" 2 ") == features.number(2) == 2.0
    assert features.number(Decimal("1.8")) == 1.8
    assert math.isnan(features.number(np.bool_(True)))


def test_case_and_white_space_do_not_matter(model: CharacterModel) -> None:
    shouted = {k: f"  {v.upper()} " if isinstance(v, str) else v for k, v in RECORD.items()}
    assert probability(model, shouted) == probability(model, RECORD)


def test_unseen_categories_are_one_kind(model: CharacterModel) -> None:
    one = probability(model, RECORD | {"gender": "Q", "identity": "W", "marital_status": "E"})
    two = probability(model, RECORD | {"gender": "R", "identity": "T", "marital_status": "Y"})
    assert one == two


def test_numbers_and_booleans_stand_for_their_text_in_any_company(model: CharacterModel) -> None:
    """1, 1.0 and True are equal in Python and must not become each other's text."""
    values = [1, 1.0, True, "1", "1.0", "True"]
    batch = model.probabilities(pd.DataFrame([RECORD | {"universe": value} for value in values]))
    alone = [probability(model, RECORD | {"universe": value}) for value in values]
    assert batch.tolist() == alone


@pytest.fixture(scope="session")
def model_box(model: CharacterModel) -> list[CharacterModel]:
    """A model whose fields hypothesis does not print."""

    class Box(list[CharacterModel]):
        def __repr__(self) -> str:
            return "Box"

    return Box([model])


ANYTHING = st.one_of(
    st.none(),
    st.text(),
    st.text(st.characters(exclude_categories=())),  # lone surrogates, too
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
def test_any_record_has_an_answer_and_the_same_one_alone(
    model_box: list[CharacterModel], records: list[dict[str, Any]]
) -> None:
    (model,) = model_box
    together = model.probabilities(pd.DataFrame(records, dtype=object))
    assert ((together > 0) & (together < 1)).all()
    for record, expected in zip(records, together, strict=True):
        assert probability(model, record) == expected


def test_records_without_any_field_have_an_answer_each(model: CharacterModel) -> None:
    scored = model.predict(pd.DataFrame([{}, {}]))
    assert scored["probability"].tolist() == [probability(model, {"name": None})] * 2


def test_footnotes_are_found_in_linear_time() -> None:
    """Each of a million opening brackets used to be followed to the end of the text."""
    assert features.origin_words("[" * 1_000_000) == set()


def test_origin_words_are_singular_and_without_footnotes() -> None:
    assert features.origin_words("human mutants [ ab 12 ], gas") == {"human", "mutant", "gas"}


def test_saved_and_loaded_it_is_the_same_model(model: CharacterModel, tmp_path: Any) -> None:
    model.save(tmp_path)
    assert CharacterModel.load(tmp_path) == model
    assert CharacterModel.load(tmp_path).digest == model.digest


def test_importances_name_every_feature(model: CharacterModel) -> None:
    importances = model.importances()
    assert set(importances.index) == set(features.feature_names(model.encoder))
    assert importances.is_monotonic_decreasing
