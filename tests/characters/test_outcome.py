"""The outcome of synthetic characters, and its drift."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from support.synthetic_rows import ROWS, generate, share
from support.table import TABLE

from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.simulation.world import DriftOptions
from marvel_kedro.table.cleaning import read_source, select_usable
from marvel_kedro.table.options import SplitOptions
from marvel_kedro.table.split import split_table


def holdout_auc(raw: pd.DataFrame) -> float:
    train, test = split_table(select_usable(read_source(raw, TABLE), TABLE), TABLE, SplitOptions())
    model = fit(train, TABLE, FitOptions())
    return float(roc_auc_score(test["alive"] == "Alive", model.probabilities(test)))


def test_outcome_is_as_learnable_as_in_real_file(raw: pd.DataFrame) -> None:
    assert 0.66 < holdout_auc(raw) < 0.75


def test_covariate_drift_moves_inputs(raw: pd.DataFrame) -> None:
    drifted = generate(rows=ROWS, drift=DriftOptions(scenario="covariate", magnitude=1))
    assert share(drifted, "Universe", "Earth-616") < 0.6 * share(raw, "Universe", "Earth-616")
    assert share(drifted, "Identity", "Secret") > 1.5 * share(raw, "Identity", "Secret")


def test_covariate_drift_keeps_probability_given_inputs(fitted: TabularModel) -> None:
    """Probabilities learnt without drift stay calibrated, overall and in each fifth."""
    drift = DriftOptions(scenario="covariate", magnitude=1)
    # The second half: not trained on, and of the same seed, because another seed is another world.
    drifted = generate(rows=2 * ROWS, drift=drift).iloc[ROWS:]
    characters = select_usable(read_source(drifted.reset_index(drop=True), TABLE), TABLE)
    probability = fitted.probabilities(characters)
    alive = (characters["alive"] == "Alive").to_numpy()
    fifths = np.array_split(np.argsort(probability), 5)
    for rows in fifths:
        assert probability[rows].mean() == pytest.approx(alive[rows].mean(), abs=0.04)


def test_prior_drift_moves_only_share_of_alive(raw: pd.DataFrame) -> None:
    drifted = generate(rows=ROWS, drift=DriftOptions(scenario="prior", magnitude=0.5))
    assert share(drifted, "Alive", "Alive") == pytest.approx(0.77 - 0.16, abs=0.02)
    inputs = [name for name in raw.columns if name != "Alive"]
    pd.testing.assert_frame_equal(drifted[inputs], raw[inputs])


def test_concept_drift_reverses_effect_of_inputs(raw: pd.DataFrame, fitted: TabularModel) -> None:
    drifted = generate(rows=ROWS, drift=DriftOptions(scenario="concept", magnitude=1))
    assert share(drifted, "Alive", "Alive") == pytest.approx(share(raw, "Alive", "Alive"), abs=0.02)
    characters = select_usable(read_source(drifted, TABLE), TABLE)
    alive = characters["alive"] == "Alive"
    assert roc_auc_score(alive, fitted.probabilities(characters)) < 0.4


def test_drift_of_magnitude_zero_changes_nothing(raw: pd.DataFrame) -> None:
    for scenario in ("covariate", "prior", "concept"):
        drift = DriftOptions.model_validate({"scenario": scenario, "magnitude": 0})
        pd.testing.assert_frame_equal(generate(rows=2000, drift=drift), raw.head(2000))
