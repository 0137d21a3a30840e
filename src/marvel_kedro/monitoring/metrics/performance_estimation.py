"""Performance estimation without labels: the table `quality_estimates`.

Confidence-based performance estimation, as NannyML's CBPE: a calibrated probability is the chance
that the record is of the positive class, so the expected confusion matrix, ROC curve and loss of a
window follow from its probabilities alone. This requires that the relation of features and label is
unchanged: it detects data that moves to where the model is uncertain, not concept drift, which only
labels show.

Probabilities are calibrated by isotonic regression on the baseline's labels if that helps, see
`fit_calibration`. Metrics are of the model's own probabilities and predictions; the calibrated ones
are used as the chances of the labels.

`low` and `high` are bounds of the value that labels of the window will show: z standard errors
below and above the estimate less its bias, where z is the normal quantile of the confidence level,
clipped to the metric's range. They always contain the estimate. The bias is that of the same
estimate for the baseline itself: an isotonic regression on few records makes a model look better
than it is. The squared error has two parts. One is the sampling error of the window over records
and labels:

- accuracy a of n records: sqrt(a (1 - a) / n), half a record more right and wrong.
- log loss: the standard deviation of the loss, over records and expected labels, by sqrt(n).
- ROC AUC: `performance.roc_auc`, with expected numbers of both classes.

The other is the sampling error of the baseline's labels, from which the chances come, see
`_Chances.variances`. `realised_error` and `baseline_error` are the first part alone, for the known
labels. (NannyML's bounds are three standard errors of the reference data.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import special

from marvel_kedro.model.metrics import Floats, losses
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.distributions import ratio
from marvel_kedro.monitoring.aggregation.ragged import Number
from marvel_kedro.monitoring.aggregation.value_counts import Baseline, Groups, Ints
from marvel_kedro.monitoring.metrics import performance
from marvel_kedro.monitoring.metrics.calibration import Calibration, fit_calibration
from marvel_kedro.monitoring.metrics.performance import ScoredRecords
from marvel_kedro.monitoring.tables import QUALITY_ESTIMATES

METRICS = ("roc_auc", "accuracy", "log_loss")
UPPER_LIMITS = (1.0, 1.0, np.inf)


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
    reference = ScoredRecords.of([group.scored for group in baseline.values()])
    used = set(at.tolist())
    calibrations = [
        fit_calibration(group.scored) if number in used else None
        for number, group in enumerate(baseline.values())
    ]
    chances = _Chances.of(records, at, calibrations)
    estimate = _measure(records, records.rows * chances.chance, records.rows * (1 - chances.chance))
    variance = estimate.errors**2 + chances.variances(records, estimate.gradients)
    margin = special.ndtri((1 + confidence) / 2) * np.sqrt(variance)
    realised = _measure(records, *records.rows_by_label)
    known = _measure(reference, *reference.rows_by_label)
    of_baseline, of_baseline_error, bias = (
        np.vstack([found, np.full(len(METRICS), np.nan)])[at]  # MISSING is the last row
        for found in (known.values, known.errors, _bias(reference, known.values, calibrations))
    )
    middle = estimate.values - np.nan_to_num(bias)
    by_group = {
        **arrays.key_columns(keys),
        "records": pa.array(records.records),
        "labelled": pa.array(records.labels),
    }
    by_metric = {
        "estimate": estimate.values,
        "low": np.maximum(np.minimum(middle - margin, estimate.values), 0.0),
        "high": np.minimum(np.maximum(middle + margin, estimate.values), UPPER_LIMITS),
        "realised": realised.values,
        "realised_error": realised.errors,
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


def _bias(
    reference: ScoredRecords, realised: Floats, calibrations: Sequence[Calibration | None]
) -> Floats:
    """Return the estimates for the baseline itself minus its metrics, (groups, metrics)."""
    chance = _Chances.of(reference, np.arange(len(calibrations)), calibrations).chance
    labelled = np.where(reference.labelled, reference.rows, 0)
    return _measure(reference, labelled * chance, labelled * (1 - chance)).values - realised


@dataclass(frozen=True)
class _Metrics:
    """Metrics and their standard errors, shape (groups, metrics), and gradients by element.

    A gradient, of shape (elements, metrics), is how a metric changes with a record's chance.
    """

    values: Floats
    errors: Floats
    gradients: Floats


@dataclass(frozen=True)
class _Chances:
    """Chances of the positive label by element, with their uncertainty; NaN without a calibration.

    Attributes:
        chance: Calibrated probability.
        block: Block of the segment's calibration; its number is unique in a group only.
        variance: Variance of the block's share of the positive class, in the baseline.
    """

    chance: Floats
    block: Ints
    variance: Floats

    @classmethod
    def of(
        cls, records: ScoredRecords, numbers: Ints, calibrations: Sequence[Calibration | None]
    ) -> "_Chances":
        """Apply to each group the calibration of its number, or `MISSING`."""
        chance, variance = np.full((2, len(records.rows)), np.nan)
        block = np.zeros(len(records.rows), np.int64)
        by_element = numbers[records.index.parent]
        order = np.argsort(by_element, kind="stable")
        ends = np.searchsorted(by_element[order], np.arange(-1, len(calibrations)), side="right")
        for calibrate, at in zip(calibrations, np.split(order, ends)[1:], strict=False):
            if calibrate is not None and len(at):
                chance[at] = calibrate(records.probability[at])
                block[at] = calibrate.block(records.probability[at])
                variance[at] = (calibrate.variance / calibrate.rows)[block[at]]
        return cls(chance, block, variance)

    def variances(self, records: ScoredRecords, gradients: Floats) -> Floats:
        """Return the variance of metrics by the sampling of the baseline, (groups, metrics).

        A block of the window with m records takes its chances from one of the baseline with n. The
        sum of gradients times errors of the n labels, m / n as strong, has this variance.
        """
        at = records.index.parent
        block = at * (int(self.block.max(initial=0)) + 1) + self.block
        in_block = np.bincount(block, records.rows)[block] if len(block) else block
        weight = records.rows * in_block * self.variance
        return np.stack([records.index.sums(one**2 * weight) for one in gradients.T], axis=1)


def _measure(
    records: ScoredRecords, positive: npt.NDArray[Number], negative: npt.NDArray[Number]
) -> _Metrics:
    """Compute metrics of positive and negative records by element, possibly expectations."""
    index = records.index
    number = index.sums(positive + negative)
    area, area_error = performance.roc_auc(records, positive, negative)
    accuracy = ratio(index.sums(np.where(records.predicted, positive, negative)), number)
    if_positive, if_negative = (
        losses(np.full(len(records.rows), is_positive), records.probability)
        for is_positive in (True, False)
    )
    loss_positive, loss_negative = (
        np.where(positive > 0, if_positive, 0.0),
        np.where(negative > 0, if_negative, 0.0),
    )
    loss = ratio(index.sums(positive * loss_positive + negative * loss_negative), number)
    mean = loss[index.parent]
    squares = index.sums(
        positive * (loss_positive - mean) ** 2 + negative * (loss_negative - mean) ** 2
    )
    likely = (accuracy * number + 0.5) / (number + 1)  # a few records, all right, are not certain
    errors = [
        area_error,
        np.sqrt(ratio(likely * (1 - likely), number)),
        np.sqrt(ratio(squares, number**2)),
    ]
    gradients = [
        performance.roc_auc_gradient(records, positive, negative, area),
        ratio(np.where(records.predicted, 1.0, -1.0), number[index.parent]),
        ratio(if_positive - if_negative, number[index.parent]),
    ]
    figures = [area, accuracy, loss], errors, gradients
    return _Metrics(*(np.stack(some, axis=1) for some in figures))
