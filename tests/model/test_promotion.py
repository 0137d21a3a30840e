"""The gate: when a candidate is promoted."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from marvel_kedro.model.metrics import Floats
from marvel_kedro.model.options import GateOptions
from marvel_kedro.model.promotion import Contender, Decision, decide

ROWS = 4000
_GENERATOR = np.random.default_rng(5)
TRUTH = np.clip(_GENERATOR.beta(4, 2, ROWS), 0.02, 0.98)
ALIVE = _GENERATOR.random(ROWS) < TRUTH
SLICES = pd.DataFrame({"gender": np.where(np.arange(ROWS) < 1000, "Female", "Male")})
GOOD = TRUTH
WORSE = np.clip(TRUTH + _GENERATOR.normal(0, 0.08, ROWS), 0.02, 0.98)
CHANCE = np.full(ROWS, ALIVE.mean())
OPTIONS = GateOptions()


def gate(candidate: Contender, champion: Contender | None, **options: float) -> Decision:
    return decide(ALIVE, candidate, champion, SLICES, OPTIONS.model_copy(update=options))


def test_only_absolute_checks_decide_without_champion() -> None:
    assert gate(Contender(GOOD), None).promoted
    rejected = gate(Contender(CHANCE), None)
    assert not rejected.promoted
    assert not rejected.floor_passed
    assert "roc_auc" in rejected.reason


def test_better_candidate_is_promoted_and_worse_one_is_not() -> None:
    assert gate(Contender(GOOD), Contender(WORSE)).promoted
    rejected = gate(Contender(WORSE), Contender(GOOD))
    assert not rejected.promoted
    assert rejected.floor_passed
    assert "log_loss_gain" in rejected.reason


@pytest.mark.parametrize("min_gain", [0.0, -1.0])
@pytest.mark.parametrize("metric", ["log_loss", "roc_auc"])
def test_gate_keeps_champion_on_tie(min_gain: float, metric: str) -> None:
    options = GateOptions(min_gain=min_gain, gain_metric=metric)
    tie = decide(ALIVE, Contender(GOOD), Contender(GOOD), SLICES, options)
    assert not tie.promoted
    assert "a tie with the champion" in tie.reason


def test_gate_keeps_champion_if_gain_may_be_chance() -> None:
    hardly = np.where(np.arange(ROWS) % 50 == 0, WORSE, GOOD)
    assert not gate(Contender(hardly), Contender(hardly * 0.999 + 0.0005)).promoted


def test_gain_bound_equals_t_bound_of_paired_differences() -> None:
    """Independent reference: the t bound of the paired differences in log loss, row by row."""

    def losses(p: Floats) -> Floats:
        return -np.log(np.where(ALIVE, p, 1 - p))

    gains = losses(WORSE) - losses(GOOD)
    bound = gains.mean() - stats.t.ppf(0.95, ROWS - 1) * gains.std(ddof=1) / np.sqrt(ROWS)
    checks = gate(Contender(GOOD), Contender(WORSE), resamples=4000).checks.set_index("check")
    assert checks.loc["log_loss_gain", "value"] == pytest.approx(bound, rel=0.05)


def test_gate_keeps_champion_if_one_slice_loses() -> None:
    spoilt = np.where((SLICES["gender"] == "Female").to_numpy(), 1 - GOOD, GOOD)
    champion = np.where((SLICES["gender"] == "Female").to_numpy(), GOOD, 1 - GOOD)
    rejected = gate(Contender(spoilt), Contender(champion), min_roc_auc=0.0, max_ece=1.0)
    assert not rejected.promoted
    assert "gender = Female" in rejected.reason


def test_slices_with_few_rows_are_ignored() -> None:
    decision = gate(Contender(GOOD), Contender(WORSE), min_slice_rows=ROWS)
    assert decision.promoted
    assert "no slice has enough rows" in decision.checks["detail"].to_list()


def test_synthetic_candidate_never_replaces_real_champion() -> None:
    synthetic, real = Contender(GOOD, "synthetic"), Contender(WORSE, "file")
    rejected = gate(synthetic, real)
    assert not rejected.promoted
    assert "synthetic" in rejected.reason
    assert gate(Contender(WORSE, "file"), Contender(GOOD, "synthetic")).promoted


def test_same_seed_gives_same_checks() -> None:
    one, two = (gate(Contender(GOOD), Contender(WORSE)).checks for _ in range(2))
    pd.testing.assert_frame_equal(one, two)


def test_rows_that_champion_was_trained_on_are_excluded() -> None:
    """The champion is perfect on its training rows and random on the others."""
    seen = np.arange(ROWS) < ROWS // 2
    cheat = np.where(seen, np.where(ALIVE, 0.999, 0.001), 0.5)
    assert not gate(Contender(GOOD), Contender(cheat)).promoted
    fair = gate(Contender(GOOD), Contender(np.where(seen, np.nan, cheat)))
    assert fair.promoted
    rows = fair.checks.query("check == 'comparable_rows'")["value"]
    assert rows.tolist() == [ROWS - seen.sum()]


def test_gate_keeps_champion_if_too_few_rows_are_unseen() -> None:
    unseen = np.arange(ROWS) < OPTIONS.min_slice_rows - 1
    decision = gate(Contender(GOOD), Contender(np.where(unseen, WORSE, np.nan)))
    assert not decision.promoted
    assert "comparable_rows 49.0000" in decision.reason


@pytest.mark.parametrize(
    ("candidate", "champion", "challenges"),
    [
        (Contender(WORSE), Contender(GOOD), True),
        (Contender(GOOD), Contender(WORSE), False),  # champion itself
        (Contender(CHANCE), Contender(GOOD), False),  # below the floor
        (Contender(GOOD, "synthetic"), Contender(WORSE, "file"), False),
    ],
)
def test_candidate_challenges_only_above_floor_and_on_same_data(
    candidate: Contender, champion: Contender, challenges: bool
) -> None:
    assert gate(candidate, champion).challenges is challenges


def test_bound_ignores_resamples_of_one_class() -> None:
    few = np.r_[0:6, np.flatnonzero(~ALIVE)[:2]]
    decision = decide(
        ALIVE[few],
        Contender(np.where(ALIVE[few], 0.9, 0.1)),
        Contender(GOOD[few]),
        SLICES.head(len(few)),
        GateOptions(gain_metric="roc_auc"),
    )
    gains = decision.checks.query("check == 'roc_auc_gain'")["value"]
    assert np.isfinite(gains).tolist() == [True]
