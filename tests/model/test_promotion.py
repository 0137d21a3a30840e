"""The gate: when a candidate is promoted."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import expit, logit

from marvel_kedro.model.metrics import Floats
from marvel_kedro.model.options import GateOptions, RetrainingOptions
from marvel_kedro.model.promotion import Contender, Decision, MeasuredRows, decide
from marvel_kedro.model.registry import LoggedModel, Version
from marvel_kedro.pipelines.retraining import nodes

ROWS = 4000
_GENERATOR = np.random.default_rng(5)
TRUTH = np.clip(_GENERATOR.beta(4, 2, ROWS), 0.02, 0.98)
ALIVE = _GENERATOR.random(ROWS) < TRUTH
SLICES = pd.DataFrame({"gender": np.where(np.arange(ROWS) < 1000, "Female", "Male")})
GOOD = TRUTH
WORSE = np.clip(TRUTH + _GENERATOR.normal(0, 0.08, ROWS), 0.02, 0.98)
CHANCE = np.full(ROWS, ALIVE.mean())
MEASURED = MeasuredRows(ALIVE, CHANCE, WORSE, SLICES)
OPTIONS = GateOptions()


def gate(candidate: Contender, champion: Contender | None, **options: float) -> Decision:
    return decide(candidate, champion, MEASURED, OPTIONS.model_copy(update=options))


def test_only_checks_against_baselines_decide_without_champion() -> None:
    assert gate(Contender(GOOD), None).promoted
    rejected = gate(Contender(CHANCE), None)
    assert not rejected.promoted
    assert not rejected.floor_passed
    assert "constant_gain" in rejected.reason


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
    tie = decide(Contender(GOOD), Contender(GOOD), MEASURED, options)
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
    lax = {"min_constant_gain": -9.0, "min_regression_gain": -9.0, "max_ece_share": 9.0}
    rejected = gate(Contender(spoilt), Contender(champion), **lax)
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
    rows = MeasuredRows(ALIVE[few], CHANCE[few], WORSE[few], SLICES.head(len(few)))
    candidate = Contender(np.where(ALIVE[few], 0.9, 0.1))
    options = GateOptions(gain_metric="roc_auc")
    decision = decide(candidate, Contender(GOOD[few]), rows, options)
    gains = decision.checks.query("check == 'roc_auc_gain'")["value"]
    assert np.isfinite(gains).tolist() == [True]


SIGNAL = np.random.default_rng(8).normal(size=8000)
FLAWED: dict[str, Callable[[float], Floats]] = {
    "constant": lambda base: np.full(len(SIGNAL), expit(base)),
    "noise": lambda base: expit(base + np.random.default_rng(9).normal(0, 0.5, len(SIGNAL))),
    "weights of balanced classes": lambda _: expit(1.5 * SIGNAL + 2),
    "odds doubled": lambda base: expit(base + 1.5 * SIGNAL + np.log(2)),
    "too sure": lambda base: expit(base + 3 * SIGNAL),
}


@pytest.mark.parametrize("base", [0.0, -1.5, -5.6])  # shares of 50 %, 25 % and 1 %
def test_defaults_tell_useful_from_useless_at_any_share_of_the_positive_class(base: float) -> None:
    truth = expit(base + 1.5 * SIGNAL)
    positive = np.random.default_rng(1).random(len(truth)) < truth
    constant, regression = np.full(len(truth), truth.mean()), expit(base + 1.4 * SIGNAL)
    rows = MeasuredRows(positive, constant, regression, pd.DataFrame(index=range(len(truth))))
    assert decide(Contender(truth), None, rows, OPTIONS).promoted
    for name, flawed in FLAWED.items():
        assert not decide(Contender(flawed(base)), None, rows, OPTIONS).floor_passed, name


def test_floors_equal_t_bounds_and_the_noise_of_calibrated_labels() -> None:
    """Independent reference: SciPy's paired t interval, and labels drawn from the candidate."""

    def losses(p: Floats) -> Floats:
        return -np.log(np.where(ALIVE, p, 1 - p))

    def calibration_error(labels: Any) -> float:
        bins = pd.DataFrame({"gap": GOOD - labels, "bin": (GOOD * 10).astype(int).clip(max=9)})
        return float(bins.groupby("bin")["gap"].sum().abs().sum() / ROWS)

    checks = gate(Contender(GOOD), None).checks.set_index("check")
    assert checks["passed"].tolist() == [True] * 3
    unit = losses(CHANCE).mean()
    for name, other, end, confidence in (
        ("constant_gain", CHANCE, 0, 0.6),  # of two sides
        ("regression_gain", WORSE, 1, 0.9),
    ):
        interval = stats.ttest_rel(losses(other), losses(GOOD)).confidence_interval(confidence)
        assert checks.loc[name, "value"] == pytest.approx(interval[end] / unit)
    drawn = [calibration_error(_GENERATOR.random(ROWS) < GOOD) for _ in range(400)]
    limit = 0.25 * (1 - ALIVE.mean()) + np.quantile(drawn, 0.95)
    assert checks.loc["calibration_error", "threshold"] == pytest.approx(limit, rel=0.03)


def test_few_rows_do_not_block_a_candidate_equal_to_the_regression() -> None:
    """Twenty rows: chance decides which of two fair models has the smaller loss."""
    generator, blocked = np.random.default_rng(3), 0
    for _ in range(200):
        some = generator.integers(ROWS, size=20)
        noisy = expit(logit(GOOD[some]) + generator.normal(0, 0.4, 20))
        rows = MeasuredRows(ALIVE[some], CHANCE[some], GOOD[some], SLICES.iloc[some])
        checks = decide(Contender(noisy), None, rows, OPTIONS).checks.set_index("check")
        blocked += not checks.loc["regression_gain", "passed"]
    assert blocked < 20


def test_absolute_limits_are_optional_records() -> None:
    assert not {"roc_auc", "log_loss"} & {*gate(Contender(GOOD), None).checks["check"]}
    limited = gate(Contender(GOOD), None, min_roc_auc=0.99, max_log_loss=9.0)
    assert not limited.promoted
    found = limited.checks.set_index("check")["passed"]
    assert (found["roc_auc"], found["log_loss"]) == (False, True)


def test_champion_of_another_table_is_no_rival() -> None:
    other = "version 3 is of another table: it predicts left (Yes or No), not alive (Alive or Dead)"
    champion = Contender(np.full(ROWS, np.nan), other_table=other)
    promoted = gate(Contender(WORSE), champion)
    assert promoted.promoted
    assert not promoted.challenges
    assert promoted.reason.endswith(f"No comparison with the champion: {other}")
    refused = gate(Contender(CHANCE), champion)
    assert not refused.promoted
    assert refused.reason.startswith("Failed: constant_gain")
    assert other in refused.reason
    for decision, alias in ((promoted, "champion"), (gate(Contender(GOOD), None), "challenger")):
        reigning: Any = SimpleNamespace(version="3") if decision is promoted else None
        release = RetrainingOptions(release="challenger")
        logged = LoggedModel("", "", "")
        aliases = nodes.release(decision, Version("m", "4"), logged, reigning, release)[1]
        assert aliases == {alias: "4"}
    # Synthetic rows stand in for no real table, also of another description.
    assert not gate(Contender(GOOD, "synthetic"), champion).promoted


def test_one_row_is_no_evidence() -> None:
    one = MeasuredRows(ALIVE[:1], CHANCE[:1], WORSE[:1], SLICES[:1])
    assert not decide(Contender(GOOD[:1]), None, one, OPTIONS).floor_passed
