"""Thresholds chosen by a policy, compared with scikit-learn over every threshold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from support.project import Project
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import Costs, FitOptions
from marvel_kedro.model.threshold import choose_threshold

COSTS = Costs(false_negative=5, false_positive=1)
SCORES = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.77, 0.9, 1.0]) | st.floats(0.01, 0.99)
ROWS = st.lists(st.tuples(st.booleans(), SCORES), min_size=1, max_size=40)


def cost(positive: Any, score: Any, threshold: float) -> float:
    predicted = score >= threshold
    return float(5 * (positive & ~predicted).sum() + (predicted & ~positive).sum())


def f1(positive: Any, score: Any, threshold: float) -> float:
    return float(reference.f1_score(positive, score >= threshold, zero_division=0))


@given(ROWS)
def test_no_other_threshold_is_better(rows: list[tuple[bool, float]]) -> None:
    positive, score = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    distinct = np.unique(np.r_[score, 1e-9, 1 - 1e-9])
    others = np.r_[distinct, (distinct[1:] + distinct[:-1]) / 2]
    others = others[(others > 0) & (others < 1)]
    policies: list[tuple[Any, Any]] = [(COSTS, cost), ("max_f1", lambda *each: -f1(*each))]
    for policy, loss in policies:
        chosen = choose_threshold(positive, score, policy)
        assert 0 < chosen < 1
        least = min(loss(positive, score, other) for other in others)
        assert loss(positive, score, chosen) == pytest.approx(least)


def test_calibrated_probabilities_have_their_known_optimum() -> None:
    generator = np.random.default_rng(0)
    score = generator.random(200_000)
    positive = generator.random(200_000) < score
    assert choose_threshold(positive, score, COSTS) == pytest.approx(1 / 6, abs=0.02)
    huge = Costs(false_negative=5e307, false_positive=1e307)
    assert choose_threshold(positive, score, huge) == choose_threshold(positive, score, COSTS)
    # F1 is largest at half of its maximum (Lipton et al., 2014).
    best = choose_threshold(positive, score, "max_f1")
    assert best == pytest.approx(f1(positive, score, best) / 2, abs=0.02)
    assert choose_threshold(positive, np.empty(0), 0.3) == 0.3


@pytest.mark.parametrize("given", [0, 1, "0.5 ", "f1", {"false_negative": 0}, {"cost": 1}, None])
def test_wrong_threshold_has_one_message(given: Any) -> None:
    if given == "0.5 ":  # as a number
        assert FitOptions(threshold=given).threshold == 0.5
        return
    with pytest.raises(ProjectError, match=r"threshold: must be a number between 0") as caught:
        validate(FitOptions, {"threshold": given}, "Fix it.")
    assert str(caught.value).count("threshold: ") == 1


@pytest.mark.parametrize("policy", ["max_f1", {"false_negative": 1, "false_positive": 4}], ids=str)
def test_policy_is_a_parameter_of_a_run(watched: Project, policy: Any) -> None:
    """The model of the run has the threshold of a model fitted here, which its card names."""
    given = {"max_trees": 20, "folds": 2, "threshold": policy}
    text = policy if policy == "max_f1" else "{false_negative: 1, false_positive: 4}"
    fitted = f"training.fit.max_trees=20,training.fit.folds=2,training.fit.threshold={text}"
    outcome = watched.cli("--pipelines", "training", "--params", fitted)
    assert outcome.status == 0, outcome.output
    expected = fit(watched.table("train_set"), TABLE, FitOptions.model_validate(given)).threshold
    card = (watched.path / "data/08_reporting/model_card.md").read_text()
    assert float(card.split("if the probability is at least ")[1].split(",")[0]) == pytest.approx(
        expected, rel=1e-3
    )
    # Costs of 1 to 4 are least at 0.8 if probabilities are calibrated; F1 is largest far below.
    assert (expected > 0.75) == (policy != "max_f1")
