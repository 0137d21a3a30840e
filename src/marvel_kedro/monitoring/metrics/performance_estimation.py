"""How good predictions probably are before labels come: the table `quality_estimates`.

Confidence-based performance estimation, as NannyML's CBPE: if a record's probability is calibrated
it is the chance that the record is Alive, so the expected confusion matrix, ROC curve and loss of a
window follow from its probabilities alone. That holds while what a record looks like still tells
the same of its fate. It sees data move to where the model is unsure; it does not see the fate
itself change (concept drift): for that there are the labels.

Probabilities are calibrated by isotonic regression on the baseline's labels if that helps, see
`calibration`. Expected values are of the model's own probabilities and predictions: calibrated ones
only say how often these come true.

`low` and `high` are `estimate` minus and plus z standard errors, z being the normal quantile of the
confidence, within the metric's range. The error is that of a metric of so many records like these,
drawn anew with their labels:

- accuracy a of n records: sqrt(a (1 - a) / n).
- log loss: the standard deviation of the loss, over records and expected labels, by sqrt(n).
- ROC AUC: `quality.roc_auc`, with expected numbers of Alive and Dead.

`realised_error` and `baseline_error` are the same of the labels that are known. The baseline's own
sampling error, which calibration inherits, is not in the bounds of an estimate. (NannyML's bounds
are wider: three standard errors, of the reference data.)
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import optimize, special

from marvel_kedro.model.metrics import Floats, losses
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.distributions import Number, ratio
from marvel_kedro.monitoring.aggregation.value_counts import Baseline, Groups, Ints, Part, Scored
from marvel_kedro.monitoring.metrics import performance
from marvel_kedro.monitoring.metrics.performance import Records
from marvel_kedro.monitoring.tables import QUALITY_ESTIMATES

METRICS = ("roc_auc", "accuracy", "log_loss")
LARGEST = (1.0, 1.0, np.inf)
SPLITS, SEED = 10, 42
"""How it is found out whether calibration helps."""
SEPARATED = 0.999
"""With a higher ROC AUC it does not."""

Calibration = Callable[[Floats], Floats]


def quality_estimates(groups: Groups, baseline: Baseline, confidence: float = 0.95) -> pa.Table:
    """Estimate the quality of each window, and hold it against what labels tell so far.

    Args:
        groups: What was counted by window and part.
        baseline: What was counted of the baseline by part. Without labels of a part in it nothing
            of this part can be estimated: null.
        confidence: Of the interval from `low` to `high`.

    Returns:
        `QUALITY_ESTIMATES`, by window and part, then in the order of `METRICS`.
    """
    keys = arrays.ordered(groups)
    records = Records.of([groups[key].scored for key in keys])
    whose = [part for _, part in keys]
    estimate, error = _estimated(records, _calibrated(records, whose, baseline))
    reach = special.ndtri((1 + confidence) / 2) * error
    realised, realised_error = _realised(records)
    of_baseline = _realised(Records.of([group.scored for group in baseline.values()]))
    place = {part: number for number, part in enumerate(baseline)}
    at = np.array([place.get(part, arrays.NOWHERE) for part in whose], np.int64)
    window, granularity = arrays.windows([window for window, _ in keys])
    each = pa.array(np.repeat(np.arange(len(keys)), len(METRICS)))
    by_group = {
        "window": window,
        "granularity": granularity,
        **arrays.parts(whose),
        "records": pa.array(records.records),
        "labelled": pa.array(records.labels),
    }
    by_metric = {
        "estimate": estimate,
        "low": np.maximum(estimate - reach, 0.0),
        "high": np.minimum(estimate + reach, LARGEST),
        "realised": realised,
        "realised_error": realised_error,
        **{
            name: np.vstack([found, np.full(len(METRICS), np.nan)])[at]
            for name, found in zip(("baseline", "baseline_error"), of_baseline, strict=True)
        },
    }
    fields = {
        **{name: found.take(each) for name, found in by_group.items()},
        **{name: arrays.doubles(found.reshape(-1)) for name, found in by_metric.items()},
        "metric": pa.array(METRICS * len(keys), pa.string()),
    }
    return pa.table([fields[field.name] for field in QUALITY_ESTIMATES], schema=QUALITY_ESTIMATES)


def calibration(scored: Scored) -> Calibration | None:
    """How probabilities are calibrated by records whose label is known.

    By isotonic regression, linear between the probabilities that there were, if that lowers the
    Brier score of records that it was not fitted to; else they stay as they are, as they do with
    labels of one class only. The records are drawn from the counts with a seed: ten times a tenth
    of either class, as NannyML does. (NannyML compares the calibration error of all ten tenths
    together. What was fitted to the others suits them on the whole even if there was nothing to
    mend, and it calibrates most of what is calibrated already.)

    Args:
        scored: Records of the baseline.

    Returns:
        A function of probabilities, or None where no label is known.
    """
    known = scored.labelled & ~np.isnan(scored.probability)
    if not known.any():
        return None
    score, cell = np.unique(scored.probability[known], return_inverse=True)
    alive, dead = (
        np.bincount(cell, np.where(which, scored.rows[known], 0), len(score)).astype(np.int64)
        for which in (scored.alive[known], ~scored.alive[known])
    )
    if not alive.any() or not dead.any() or _area(scored) > SEPARATED:
        return _as_they_are
    if not _helps(score, alive, dead):
        return _as_they_are
    return _isotonic(score, alive, dead)


def _as_they_are(probability: Floats) -> Floats:
    return probability


def _area(scored: Scored) -> float:
    return float(Records.of([scored]).roc_auc[0])


def _isotonic(score: Floats, alive: Ints, dead: Ints) -> Calibration:
    """The rising function that fits shares of Alive best, by least squares over the records."""
    rows = alive + dead
    there = rows > 0
    fitted = optimize.isotonic_regression(
        alive[there] / rows[there], weights=rows[there].astype(np.float64)
    ).x
    known = score[there]
    return lambda probability: np.interp(probability, known, fitted)


def _helps(score: Floats, alive: Ints, dead: Ints) -> bool:
    """Whether calibration lowers the Brier score of records that it has not seen."""
    generator = np.random.default_rng(SEED)
    gain = 0.0
    for _ in range(SPLITS):
        test_alive, test_dead = (_a_tenth(side, generator) for side in (alive, dead))
        fitted = _isotonic(score, alive - test_alive, dead - test_dead)(score)
        gain += float(test_alive @ ((1 - score) ** 2 - (1 - fitted) ** 2))
        gain += float(test_dead @ (score**2 - fitted**2))
    return gain > 0


def _a_tenth(rows: Ints, generator: np.random.Generator) -> Ints:
    """Draw a tenth of the rows in cells, without putting them back."""
    size = int(rows.sum()) // SPLITS
    return generator.multivariate_hypergeometric(rows, size, method="marginals")


def _calibrated(records: Records, whose: Sequence[Part], baseline: Baseline) -> Floats:
    """The chance of each cell's records to be Alive; NaN where their part has no calibration."""
    result = np.full(len(records.rows), np.nan)
    places = {part: number for number, part in enumerate(dict.fromkeys(whose))}
    part_of_cell = np.array([places[part] for part in whose], np.int64)[records.runs.number]
    by_part = np.argsort(part_of_cell, kind="stable")
    stops = np.searchsorted(part_of_cell[by_part], np.arange(len(places)), side="right")
    for part, cells in zip(places, np.split(by_part, stops), strict=False):
        calibrate = calibration(baseline[part].scored) if part in baseline else None
        if calibrate is not None:
            result[cells] = calibrate(records.probability[cells])
    return result


def _estimated(records: Records, chance: Floats) -> tuple[Floats, Floats]:
    """Expected metrics, and their standard errors; each of shape (groups, metrics)."""
    return _measured(records, records.rows * chance, records.rows * (1 - chance))


def _realised(records: Records) -> tuple[Floats, Floats]:
    """The same of the labelled records."""
    known = np.where(records.labelled, records.rows, 0)
    return _measured(records, np.where(records.alive, known, 0), np.where(records.alive, 0, known))


def _measured(
    records: Records, alive: npt.NDArray[Number], dead: npt.NDArray[Number]
) -> tuple[Floats, Floats]:
    """Metrics of cells with so many Alive and Dead, which may be expected numbers."""
    runs = records.runs
    number = runs.sums(alive + dead)
    area, area_error = performance.roc_auc(records, alive, dead)
    accuracy = ratio(runs.sums(np.where(records.predicted, alive, dead)), number)
    lost_alive, lost_dead = (
        np.where(some > 0, losses(np.full(len(some), is_alive), records.probability), 0.0)
        for is_alive, some in ((True, alive), (False, dead))
    )
    loss = ratio(runs.sums(alive * lost_alive + dead * lost_dead), number)
    mean = loss[runs.number]
    squares = runs.sums(alive * (lost_alive - mean) ** 2 + dead * (lost_dead - mean) ** 2)
    error = [
        area_error,
        np.sqrt(ratio(accuracy * (1 - accuracy), number)),
        np.sqrt(ratio(squares, number**2)),
    ]
    return np.stack([area, accuracy, loss], axis=1), np.stack(error, axis=1)
