"""Metrics from counts, compared with scikit-learn on the rows."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as reference
from support.table import TABLE

from marvel_kedro.model import metrics
from marvel_kedro.model.evaluation import evaluate, slices
from marvel_kedro.model.metrics import ScorePairs, value_of
from marvel_kedro.model.options import EvaluationOptions

THRESHOLD, BINS = 0.5, 10


def naive_ece(alive: Any, score: Any) -> float:
    member = np.minimum((score * BINS).astype(int), BINS - 1)
    gaps = [
        (member == b).mean() * abs(score[member == b].mean() - alive[member == b].mean())
        for b in set(member)
    ]
    return float(sum(gaps))


REFERENCES: dict[str, Callable[[Any, Any], float]] = {
    "roc_auc": reference.roc_auc_score,
    "pr_auc": reference.average_precision_score,
    "log_loss": lambda alive, score: reference.log_loss(alive, score, labels=[False, True]),
    "brier": reference.brier_score_loss,
    "ece": naive_ece,
    "accuracy": lambda alive, score: reference.accuracy_score(alive, score >= THRESHOLD),
    "f1": lambda alive, score: reference.f1_score(alive, score >= THRESHOLD, zero_division=0),
}


@given(
    st.lists(
        st.tuples(
            st.booleans(),
            st.one_of(st.sampled_from([0.0, 0.1, 0.5, 0.7, 1.0]), st.floats(0.001, 0.999)),
        ),
        min_size=2,
        max_size=60,
    ).filter(lambda rows: len({alive for alive, _ in rows}) == 2)
)
def test_metrics_equal_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    alive = np.array([label for label, _ in rows])
    score = np.array([value for _, value in rows])
    pairs = ScorePairs.of(alive, score)
    for name, function in metrics.all_metrics(THRESHOLD, BINS).items():
        expected = REFERENCES[name](alive, score)
        assert value_of(function, pairs) == pytest.approx(expected, abs=1e-9), name


def test_metrics_of_resample_equal_those_of_its_rows() -> None:
    generator = np.random.default_rng(0)
    score = np.round(generator.random(200), 2)
    alive = generator.random(200) < score
    pairs = ScorePairs.of(alive, score)
    (counts,) = metrics.resamples(pairs.rows, 5, generator)
    for name, function in metrics.all_metrics(THRESHOLD, BINS).items():
        found = function(pairs, counts)
        for number in range(5):
            rows = counts[number].astype(int)
            expected = REFERENCES[name](
                np.repeat(pairs.positive, rows), np.repeat(pairs.score, rows)
            )
            assert found[number] == pytest.approx(expected, abs=1e-9), name


def test_roc_auc_of_one_class_is_nan() -> None:
    pairs = ScorePairs.of(np.array([True, True]), np.array([0.2, 0.9]))
    assert np.isnan(value_of(metrics.roc_auc, pairs))
    assert value_of(metrics.pr_auc, pairs) == pytest.approx(1.0)


def test_intervals_equal_bootstrap_over_rows() -> None:
    """Independent reference: draw rows with replacement and let scikit-learn measure."""
    generator = np.random.default_rng(1)
    score = generator.random(400)
    alive = generator.random(400) < 0.3 + 0.5 * score
    table = evaluate(
        alive,
        {"candidate": score},
        slices_of(400),
        EvaluationOptions(resamples=4000),
        THRESHOLD,
    )
    overall = table[table["slice_key"].isna()].set_index("metric")
    draws = {"roc_auc": [], "log_loss": [], "brier": []}  # type: dict[str, list[float]]
    for _ in range(1500):
        rows = generator.integers(400, size=400)
        for name, found in draws.items():
            found.append(REFERENCES[name](alive[rows], score[rows]))
    for name, found in draws.items():
        low, high = np.quantile(found, [0.025, 0.975])
        width = high - low
        assert overall.loc[name, "low"] == pytest.approx(low, abs=0.12 * width), name
        assert overall.loc[name, "high"] == pytest.approx(high, abs=0.12 * width), name


def slices_of(rows: int) -> Any:
    import pandas as pd

    return slices(
        pd.DataFrame(
            {
                "identity": ["Public", None] * (rows // 2),
                "gender": ["Male", "Agender"] * (rows // 2),
                "universe": ["Earth-616", None] * (rows // 2),
            }
        ),
        TABLE,
    )


def test_intervals_of_a_rare_class_are_as_wide_as_its_errors() -> None:
    """All scores are below 0.001."""
    generator = np.random.default_rng(0)
    score = 1 / (1 + np.exp(9 - 0.5 * generator.normal(size=20_000)))
    alive = generator.random(20_000) < 20 * score
    options = EvaluationOptions(resamples=200)
    found = evaluate(alive, {"candidate": score}, pd.DataFrame(index=range(20_000)), options, 0.5)
    area = found[found["metric"] == "roc_auc"]
    value, low, high = (float(area[name].iloc[0]) for name in ("value", "low", "high"))
    error = np.sqrt(1 / (12 * alive.sum()))  # of ranks that are uniform
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.3)
    assert low < value < high


def test_slice_is_measured_on_its_rows() -> None:
    generator = np.random.default_rng(2)
    score, alive = generator.random(100), generator.random(100) < 0.5
    table = evaluate(alive, {"m": score}, slices_of(100), EvaluationOptions(), THRESHOLD)
    public = table[(table["slice_value"] == "Public") & (table["metric"] == "brier")]
    assert public["rows"].item() == 50
    assert public["value"].item() == pytest.approx(
        reference.brier_score_loss(alive[::2], score[::2])
    )
    defined = table.dropna()
    assert (defined["low"] <= defined["value"]).all()
    assert (defined["value"] <= defined["high"]).all()


def test_rows_a_model_was_trained_on_are_excluded_from_its_metrics() -> None:
    generator = np.random.default_rng(3)
    score, alive = generator.random(100), generator.random(100) < 0.5
    seen = np.arange(100) % 3 == 0
    table = evaluate(
        alive,
        {"m": score, "seen": np.where(seen, np.nan, score)},
        slices_of(100),
        EvaluationOptions(),
        THRESHOLD,
    )
    overall = table[table["slice_key"].isna() & (table["metric"] == "brier")].set_index("model")
    assert overall["rows"].to_dict() == {"m": 100, "seen": (~seen).sum()}
    assert overall["value"]["seen"] == pytest.approx(
        reference.brier_score_loss(alive[~seen], score[~seen])
    )


@pytest.mark.parametrize(("shift", "least"), [(0.0, 0.5), (0.06, 0.85)])
def test_calibration_intervals_cover_true_error(shift: float, least: float) -> None:
    """Simulated: calibrated probabilities, whose error 0 is a bound, and shifted ones."""
    generator = np.random.default_rng(4)
    covered = []
    for _ in range(40):
        truth = generator.beta(4, 2, 600).clip(0.1, 0.9)
        score, alive = truth - shift, generator.random(600) < truth
        table = evaluate(
            alive,
            {"m": score},
            slices_of(600),
            EvaluationOptions(resamples=100),
            THRESHOLD,
        )
        row = table[table["slice_key"].isna() & (table["metric"] == "ece")].iloc[0]
        covered.append(row["low"] <= shift + 1e-12 and shift <= row["high"])
    assert np.mean(covered) >= least


def test_clusters_are_drawn_whole() -> None:
    """Five copies of a row have the information of one: the interval is that of single rows."""
    generator = np.random.default_rng(6)
    score = generator.random(300)
    alive = generator.random(300) < score
    copies = np.repeat(np.arange(300), 5)
    options = EvaluationOptions(resamples=2000)

    def widths(rows: Any, cluster: Any) -> Any:
        scores = {"m": score[rows]}
        table = evaluate(
            alive[rows], scores, slices_of(len(rows)), options, THRESHOLD, cluster=cluster
        )
        overall = table[table["slice_key"].isna()].set_index("metric")
        return (overall["high"] - overall["low"])[["roc_auc", "log_loss", "accuracy", "f1"]]

    once = widths(np.arange(300), None)
    assert widths(copies, copies).to_numpy() == pytest.approx(once.to_numpy(), rel=0.1)
    assert (widths(copies, None) < 0.6 * once).all()
