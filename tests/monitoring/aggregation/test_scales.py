"""Metrics of counted numbers, compared with SciPy, scikit-learn and NumPy on the numbers."""

import logging
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as reference
from support.random_log import START
from support.samples import CLASSES
from support.table import TABLE

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.grouping import aggregate, aggregate_baseline
from marvel_kedro.monitoring.aggregation.scales import fit_scales
from marvel_kedro.monitoring.metrics.drift import drift_metrics
from marvel_kedro.monitoring.metrics.profile import profile_metrics
from marvel_kedro.monitoring.options import MonitoringOptions
from marvel_kedro.table.local_engine import relation

OPTIONS = MonitoringOptions(now=START, columns={"height": "number"})
SHAPES = {
    "normal": lambda generator, rows: generator.normal(size=rows),
    "heavy": lambda generator, rows: generator.standard_t(1.5, rows),
    "lognormal": lambda generator, rows: generator.lognormal(0, 2, rows),
    "integers": lambda generator, rows: generator.integers(-9, 9, rows).astype(np.float64),
    "zeros": lambda generator, rows: generator.gamma(1, size=rows) * generator.integers(0, 2, rows),
}  # fmt: skip


def log_of(numbers: Floats, probability: Floats, alive: Any = None, days: int = 1) -> pa.Table:
    rows = len(numbers)
    return pa.table(
        {
            "request_time": pa.array(
                [START + timedelta(days=row % days) for row in range(rows)],
                pa.timestamp("us", "UTC"),
            ),
            "model_version": ["1"] * rows,
            "height": numbers,
            "prediction": ["Alive" if one >= 0.5 else "Dead" for one in probability],
            "probability": probability,
            "alive": pa.array(
                [None] * rows if alive is None else np.where(alive, "Alive", "Dead").tolist(),
                pa.string(),
            ),
        }
    )


def measured(
    log: pa.Table, baseline: pa.Table | None, options: MonitoringOptions = OPTIONS
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the profile of the table and of the number, and its drift."""
    empty = log.slice(0, 0) if baseline is None else baseline
    scales = fit_scales(relation(empty), options)
    groups = aggregate(relation(log), options, TABLE.target, scales)
    of_baseline = aggregate_baseline(relation(empty), options, TABLE.target, scales)
    table, column = (
        row for row in profile_metrics(groups, of_baseline, CLASSES).to_pylist() if row["window"]
    )
    drift = [row for row in drift_metrics(groups, of_baseline).to_pylist() if row["ks_test"]]
    return table, column, drift[0] if drift else {}


@given(
    shape=st.sampled_from(sorted(SHAPES)),
    scale=st.integers(-12, 18),
    offset=st.sampled_from([0.0, 1.0, -1e3, 1e6, -1e9]),
    shift=st.sampled_from([0.0, 0.1, 3.0]),
    seed=st.integers(0, 10),
)
@example(shape="normal", scale=9, offset=1.7e3, shift=0.2, seed=0)  # epoch milliseconds
@settings(max_examples=25, deadline=None)
def test_numbers_of_any_scale_are_measured_as_by_scipy_and_numpy(
    shape: str, scale: int, offset: float, shift: float, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    unit = 10.0**scale
    first = (SHAPES[shape](generator, 1500) + offset) * unit
    second = (SHAPES[shape](generator, 1200) + offset + shift) * unit
    half = np.full(1500, 0.5)
    _, column, drift = measured(log_of(second, half[:1200]), log_of(first, half))
    # Numbers of the offset have this many digits less.
    digits = 1e-15 * abs(offset) * unit
    spread = np.subtract(*np.quantile(first, [0.75, 0.25])) or unit
    assert column["min"] == second.min()
    assert column["max"] == second.max()
    assert column["num_zeros"] == (second == 0).sum()
    assert column["avg"] == pytest.approx(second.mean(), rel=1e-9, abs=1e-9 * spread + digits)
    assert column["stddev"] == pytest.approx(second.std(ddof=1), rel=1e-4)
    quantiles = np.quantile(second, np.linspace(0, 1, 101))
    assert column["quantiles"] == pytest.approx(quantiles, rel=1e-3, abs=1e-3 * spread)
    expected = stats.ks_2samp(second, first, method="asymp").statistic
    assert drift["ks_test"]["statistic"] == pytest.approx(expected, abs=2e-3)
    expected = stats.wasserstein_distance(second, first)
    assert drift["wasserstein_distance"] == pytest.approx(expected, rel=1e-3, abs=1e-3 * spread)
    assert drift["avg_delta"] == pytest.approx(
        second.mean() - first.mean(), rel=1e-9, abs=1e-9 * spread + 4 * digits
    )


@given(
    rate=st.sampled_from([0.5, 1e-2, 2e-4, 1e-6]),
    spread=st.sampled_from([2.0, 0.5, 0.01]),
    flip=st.booleans(),
    seed=st.integers(0, 10),
)
@settings(max_examples=12, deadline=None)
def test_scores_of_any_rate_are_measured_as_by_scikit_learn(
    rate: float, spread: float, flip: bool, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    logit = np.log(rate / (1 - rate)) + spread * generator.normal(size=4000)
    score = 1 / (1 + np.exp(logit if flip else -logit))
    alive = generator.random(4000) < score
    alive[:40] = generator.random(40) < 0.5
    log = log_of(np.zeros(4000), score, alive, days=2)
    weekly = OPTIONS.model_copy(update={"granularities": ("1 week",)})
    for baseline in (None, log_of(np.zeros(4000), score, alive)):
        table, _, _ = measured(log, baseline, weekly)
        assert table["log_loss"] == pytest.approx(reference.log_loss(alive, score), rel=1e-3)
        area = table["roc_auc_score"]["one_vs_one"]["weighted"]
        coarse = 2e-3 if baseline or spread > 0.1 else 0.1
        assert area == pytest.approx(reference.roc_auc_score(alive, score), abs=coarse)


@pytest.mark.parametrize("decimals", [{}, {"probability": 4}])
def test_tiny_scores_are_told_apart(decimals: dict[str, int]) -> None:
    """The decimals of former releases, too."""
    options = OPTIONS.model_copy(update={"decimals": decimals})
    score = np.array([2e-5, 3e-5, 1 - 3e-5, 1 - 2e-5])
    for some in (score[:2], score[2:]):
        table, *_ = measured(log_of(np.zeros(2), some, np.array([False, True])), None, options)
        assert table["roc_auc_score"]["one_vs_one"]["weighted"] == 1.0
        assert table["log_loss"] == pytest.approx(reference.log_loss([False, True], some))


def test_missing_scores_have_no_performance() -> None:
    score = np.array([0.2, np.nan, 0.9])
    table, *_ = measured(log_of(np.zeros(3), score, np.array([False, True, True])), None)
    assert table["log_loss"] is None
    assert table["roc_auc_score"] is None
    assert table["accuracy_score"] == pytest.approx(2 / 3)


def test_warning_names_the_column_that_no_scale_fits(caplog: pytest.LogCaptureFixture) -> None:
    numbers = 5.0 + 1e-9 * np.random.default_rng(0).normal(size=500)
    with caplog.at_level(logging.WARNING):
        measured(log_of(numbers, np.full(500, 0.5)), None)
        assert "height: up to 100% of the numbers of a window differ" in caplog.text
        caplog.clear()
        fine = OPTIONS.model_copy(update={"decimals": {"height": 13}})
        measured(log_of(numbers, np.full(500, 0.5)), None, fine)
        measured(log_of(numbers, np.full(500, 0.5)), log_of(numbers, np.full(500, 0.5)))
    assert not caplog.text
