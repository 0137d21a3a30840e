"""Performance estimation without labels: the table `quality_estimates`.

Confidence-based performance estimation, as NannyML's CBPE: a calibrated probability is the chance
that the record is Alive, so the expected confusion matrix, ROC curve and loss of a window follow
from its probabilities alone. This requires that the relation of features and label is unchanged:
it detects data that moves to where the model is uncertain, not concept drift, which only labels
show.

Probabilities are calibrated by isotonic regression on the baseline's labels if that helps, see
`fit_calibration`. Metrics are of the model's own probabilities and predictions; the calibrated ones
are used as the chances of the labels.

`low` and `high` are `estimate` minus and plus z standard errors, where z is the normal quantile of
the confidence level, clipped to the metric's range. The error is the sampling error over records
and labels:

- accuracy a of n records: sqrt(a (1 - a) / n).
- log loss: the standard deviation of the loss, over records and expected labels, by sqrt(n).
- ROC AUC: `performance.roc_auc`, with expected numbers of Alive and Dead.

`realised_error` and `baseline_error` are the same for the known labels. The bounds of an estimate
do not include the baseline's sampling error, which calibration inherits. (NannyML's bounds are
wider: three standard errors of the reference data.)
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import optimize, special

from marvel_kedro.model.metrics import Floats, losses
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.distributions import Number, ratio
from marvel_kedro.monitoring.aggregation.value_counts import Baseline, Groups, Ints, ScoreCounts
from marvel_kedro.monitoring.metrics import performance
from marvel_kedro.monitoring.metrics.performance import ScoredRecords
from marvel_kedro.monitoring.tables import QUALITY_ESTIMATES

METRICS = ("roc_auc", "accuracy", "log_loss")
UPPER_LIMITS = (1.0, 1.0, np.inf)
FOLDS, SEED = 10, 42
"""Cross-validation of the calibration."""
SEPARATED = 0.999
"""ROC AUC above which calibration cannot help."""

Calibration = Callable[[Floats], Floats]


def quality_estimates(groups: Groups, baseline: Baseline, confidence: float = 0.95) -> pa.Table:
    """Estimate the performance of each window, and compute the realised one of known labels.

    A segment without labels in the baseline has no estimate: null. `confidence` is the level of the
    interval from `low` to `high`.

    Returns:
        `QUALITY_ESTIMATES`, by window and segment, then in the order of `METRICS`.
    """
    keys = arrays.sorted_keys(groups)
    records = ScoredRecords.of([groups[key].scored for key in keys])
    index = {segment: number for number, segment in enumerate(baseline)}
    at = np.array([index.get(segment, arrays.MISSING) for _, segment in keys], np.int64)
    chance = _chances(records, at, baseline)
    estimate, error = _metrics_and_errors(
        records, records.rows * chance, records.rows * (1 - chance)
    )
    margin = special.ndtri((1 + confidence) / 2) * error
    realised, realised_error = _metrics_and_errors(records, *records.rows_by_label)
    reference = ScoredRecords.of([group.scored for group in baseline.values()])
    of_baseline, of_baseline_error = (
        np.vstack([found, np.full(len(METRICS), np.nan)])[at]  # MISSING is the last row
        for found in _metrics_and_errors(reference, *reference.rows_by_label)
    )
    by_group = {
        **arrays.key_columns(keys),
        "records": pa.array(records.records),
        "labelled": pa.array(records.labels),
    }
    by_metric = {
        "estimate": estimate,
        "low": np.maximum(estimate - margin, 0.0),
        "high": np.minimum(estimate + margin, UPPER_LIMITS),
        "realised": realised,
        "realised_error": realised_error,
        "baseline": of_baseline,
        "baseline_error": of_baseline_error,
    }
    group = pa.array(np.repeat(np.arange(len(keys)), len(METRICS)))
    fields = {
        **{name: found.take(group) for name, found in by_group.items()},
        **{name: arrays.doubles(found.reshape(-1)) for name, found in by_metric.items()},
        "metric": pa.array(METRICS * len(keys), pa.string()),
    }
    return pa.table(fields, schema=QUALITY_ESTIMATES)


def fit_calibration(scores: ScoreCounts) -> Calibration | None:
    """Fit a calibration of probabilities to the labelled records.

    The calibration is an isotonic regression, linear between the observed probabilities, if it
    lowers the Brier score of records that it was not fitted to; otherwise, and with labels of one
    class, the identity. Ten folds of a tenth of either class are drawn from the counts with a seed,
    as in NannyML. (NannyML compares the calibration error of all ten folds together. A fit to the
    other folds suits them on average even without miscalibration, so it calibrates most of what is
    already calibrated.)

    Returns:
        A function of probabilities, or None without labels.
    """
    known = scores.labelled & ~np.isnan(scores.probability)
    if not known.any():
        return None
    score, index = np.unique(scores.probability[known], return_inverse=True)
    alive, dead = (
        np.bincount(index, np.where(which, scores.rows[known], 0), len(score)).astype(np.int64)
        for which in (scores.alive[known], ~scores.alive[known])
    )
    records = ScoredRecords.of([scores])
    area, _ = performance.roc_auc(records, *records.rows_by_label)
    separated = area[0] > SEPARATED
    if not alive.any() or not dead.any() or separated or not _helps(score, alive, dead):
        return lambda probability: probability
    return _fit_isotonic(score, alive, dead)


def _fit_isotonic(score: Floats, alive: Ints, dead: Ints) -> Calibration:
    """Fit a rising function to the shares of Alive, by least squares over the records."""
    rows = alive + dead
    filled = rows > 0
    fitted = optimize.isotonic_regression(
        alive[filled] / rows[filled], weights=rows[filled].astype(np.float64)
    ).x
    known = score[filled]
    return lambda probability: np.interp(probability, known, fitted)


def _helps(score: Floats, alive: Ints, dead: Ints) -> bool:
    """Return true if calibration lowers the Brier score of unseen records."""
    generator = np.random.default_rng(SEED)
    gain = 0.0
    for _ in range(FOLDS):
        test_alive, test_dead = (  # drawn without replacement
            generator.multivariate_hypergeometric(
                side, int(side.sum()) // FOLDS, method="marginals"
            )
            for side in (alive, dead)
        )
        fitted = _fit_isotonic(score, alive - test_alive, dead - test_dead)(score)
        gain += float(test_alive @ ((1 - score) ** 2 - (1 - fitted) ** 2))
        gain += float(test_dead @ (score**2 - fitted**2))
    return gain > 0


def _chances(records: ScoredRecords, numbers: Ints, baseline: Baseline) -> Floats:
    """Return the calibrated probability by element; NaN without a calibration.

    `numbers` are the positions of each group's segment in the baseline, or `MISSING`.
    """
    result = np.full(len(records.rows), np.nan)
    by_element = numbers[records.index.parent]
    order = np.argsort(by_element, kind="stable")
    ends = np.searchsorted(by_element[order], np.arange(-1, len(baseline)), side="right")
    for group, elements in zip(baseline.values(), np.split(order, ends)[1:], strict=False):
        calibrate = fit_calibration(group.scored) if len(elements) else None
        if calibrate is not None:
            result[elements] = calibrate(records.probability[elements])
    return result


def _metrics_and_errors(
    records: ScoredRecords, alive: npt.NDArray[Number], dead: npt.NDArray[Number]
) -> tuple[Floats, Floats]:
    """Compute metrics and their standard errors, each of shape (groups, metrics).

    `alive` and `dead` are numbers of records by element, possibly expectations.
    """
    index = records.index
    number = index.sums(alive + dead)
    area, area_error = performance.roc_auc(records, alive, dead)
    accuracy = ratio(index.sums(np.where(records.predicted, alive, dead)), number)
    loss_alive, loss_dead = (
        np.where(some > 0, losses(np.full(len(some), is_alive), records.probability), 0.0)
        for is_alive, some in ((True, alive), (False, dead))
    )
    loss = ratio(index.sums(alive * loss_alive + dead * loss_dead), number)
    mean = loss[index.parent]
    squares = index.sums(alive * (loss_alive - mean) ** 2 + dead * (loss_dead - mean) ** 2)
    errors = [
        area_error,
        np.sqrt(ratio(accuracy * (1 - accuracy), number)),
        np.sqrt(ratio(squares, number**2)),
    ]
    return np.stack([area, accuracy, loss], axis=1), np.stack(errors, axis=1)
