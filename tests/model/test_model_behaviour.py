"""Behavioural tests of the model (Ribeiro et al., 2020), fitted to synthetic rows.

Invariance (changes without effect), direction (changes with a known effect) and minimum
functionality (simple cases).
"""

import pandas as pd
import pytest

from marvel_kedro.model.portable.predictor import TabularModel


@pytest.mark.parametrize(
    "change",
    [
        {"url": "elsewhere"},
        {"page_id": "Another_Page"},
        {"creators": "Another Creator"},
        {"name": "Another Name"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_invariance_to_columns_without_feature(
    model: TabularModel, characters: pd.DataFrame, change: dict[str, str]
) -> None:
    assert model.predict(characters.assign(**change)).equals(model.predict(characters))


def test_invariance_to_case_space_and_footnotes(
    model: TabularModel, characters: pd.DataFrame
) -> None:
    spelt = characters.assign(
        origin=characters["origin"] + " [ 7 ]",
        identity=characters["identity"].str.upper(),
        gender=" " + characters["gender"],
    )
    scored, expected = model.probabilities(spelt), model.probabilities(characters)
    # The length of `origin` is a feature, so a footnote mark changes a score slightly.
    assert abs(scored - expected).mean() < 0.02
    assert model.predict(spelt.assign(origin=characters["origin"])).equals(
        model.predict(characters)
    )


def test_direction_temporary_universes_score_above_earth_616(
    model: TabularModel, characters: pd.DataFrame
) -> None:
    """In the training rows, the share of Alive is lower on Earth-616."""
    alive = characters["alive"] == "Alive"
    here = characters["universe"] == "Earth-616"
    assert alive[here].mean() < alive[~here].mean()
    on_616 = model.probabilities(characters.assign(universe="Earth-616"))
    temporary = model.probabilities(characters.assign(universe="Earth-TRN900001"))
    assert (temporary > on_616).mean() > 0.9


def test_minimum_functionality_empty_record_scores_near_base_rate(model: TabularModel) -> None:
    """An empty record scores near the share of Alive and is predicted Alive."""
    nothing = model.predict(pd.DataFrame([{}]))
    assert nothing["prediction"].tolist() == ["Alive"]
    assert nothing["probability"].between(0.5, 0.95).all()


def test_mean_probability_equals_share_of_alive_on_training_rows(
    model: TabularModel, characters: pd.DataFrame
) -> None:
    mean = model.probabilities(characters).mean()
    assert mean == pytest.approx((characters["alive"] == "Alive").mean(), abs=0.02)
