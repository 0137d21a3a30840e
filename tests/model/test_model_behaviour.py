"""What anybody would expect of the model, whatever its inside (Ribeiro et al., 2020).

Invariance (what must not matter), direction (what must matter, and which way) and minimum
functionality (plain cases), on the model fitted to the synthetic rows.
"""

import pandas as pd
import pytest

from marvel_kedro.model.portable.predictor import CharacterModel


@pytest.mark.parametrize(
    "change",
    [
        {"url": "elsewhere"},
        {"page_id": "Another_Page"},
        {"creators": "Somebody"},
        {"name": "Somebody Else"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_invariance_to_what_says_nothing_of_a_fate(
    model: CharacterModel, characters: pd.DataFrame, change: dict[str, str]
) -> None:
    assert model.predict(characters.assign(**change)).equals(model.predict(characters))


def test_invariance_to_spelling(model: CharacterModel, characters: pd.DataFrame) -> None:
    spelt = characters.assign(
        origin=characters["origin"] + " [ 7 ]",
        identity=characters["identity"].str.upper(),
        gender=" " + characters["gender"],
    )
    scored, expected = model.probabilities(spelt), model.probabilities(characters)
    # The length of `origin` is a feature, so a footnote mark may move a score a little.
    assert abs(scored - expected).mean() < 0.02
    assert model.predict(spelt.assign(origin=characters["origin"])).equals(
        model.predict(characters)
    )


def test_direction_of_the_universe(model: CharacterModel, characters: pd.DataFrame) -> None:
    """In the rows it learnt from, few die in temporary universes and more on Earth-616."""
    alive = characters["alive"] == "Alive"
    here = characters["universe"] == "Earth-616"
    assert alive[here].mean() < alive[~here].mean()
    on_616 = model.probabilities(characters.assign(universe="Earth-616"))
    temporary = model.probabilities(characters.assign(universe="Earth-TRN900001"))
    assert (temporary > on_616).mean() > 0.9


def test_minimum_functionality(model: CharacterModel) -> None:
    """A record with nothing in it gets about the share of Alive, and a prediction of Alive."""
    nothing = model.predict(pd.DataFrame([{}]))
    assert nothing["prediction"].tolist() == ["Alive"]
    assert nothing["probability"].between(0.5, 0.95).all()


def test_probabilities_are_calibrated_on_what_it_learnt(
    model: CharacterModel, characters: pd.DataFrame
) -> None:
    mean = model.probabilities(characters).mean()
    assert mean == pytest.approx((characters["alive"] == "Alive").mean(), abs=0.02)
