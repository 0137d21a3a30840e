"""Calibration of probabilities by the labels of the baseline, with its uncertainty."""

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.value_counts import Ints, ScoreCounts
from marvel_kedro.monitoring.metrics import performance
from marvel_kedro.monitoring.metrics.performance import ScoredRecords

FOLDS, SEED = 10, 42
"""Cross-validation of the calibration."""
SEPARATED = 0.999
"""ROC AUC above which calibration cannot help."""


@dataclass(frozen=True)
class Calibration:
    """A calibration, a function of probabilities.

    The isotonic regression has blocks of neighbouring probabilities with the same share of the
    positive class. A block's share has a sampling error, whether the calibration uses it or not: it
    is all that the baseline shows about the chances there.

    Attributes:
        known: Distinct probabilities of the labelled records, ascending, shape (values,).
        fitted: Calibrated probability by value.
        starts: First value of each block, shape (blocks,).
        rows: Labelled records by block.
        variance: p (1 - p) by block, where p is the share of the positive class among its records
            and half a record more of either class.
    """

    known: Floats
    fitted: Floats
    starts: Ints
    rows: Ints
    variance: Floats

    @classmethod
    def of(
        cls, score: Floats, positive: Ints, negative: Ints, *, calibrates: bool
    ) -> "Calibration":
        """Fit to the labelled records by ascending probability."""
        rows = positive + negative
        fitted = optimize.isotonic_regression(positive / rows, weights=rows.astype(np.float64))
        starts = fitted.blocks[:-1].astype(np.int64)
        of_block = np.add.reduceat(rows, starts)
        share = (np.add.reduceat(positive, starts) + 0.5) / (of_block + 1)
        values = fitted.x if calibrates else score
        return cls(score, values, starts, of_block, share * (1 - share))

    @property
    def calibrates(self) -> bool:
        """Return false if this is the identity."""
        return self.fitted is not self.known

    def __call__(self, probability: Floats) -> Floats:
        """Return calibrated probabilities, linear between the known ones."""
        return np.interp(probability, self.known, self.fitted) if self.calibrates else probability

    def block(self, probability: Floats) -> Ints:
        """Return the block of each probability; halfway between two blocks the next one starts."""
        edges = (self.known[self.starts[1:]] + self.known[self.starts[1:] - 1]) / 2
        return np.searchsorted(edges, probability, side="right")


def fit_calibration(scores: ScoreCounts) -> Calibration | None:
    """Fit a calibration of probabilities to the labelled records.

    The calibration is an isotonic regression, linear between the observed probabilities, if it
    lowers the Brier score of records that it was not fitted to; otherwise, and with labels of one
    class, the identity. Ten folds of a tenth of either class are drawn from the counts with a seed,
    as in NannyML. (NannyML compares the calibration error of all ten folds together. A fit to the
    other folds suits them on average even without miscalibration, so it calibrates most of what is
    already calibrated.)

    Returns:
        None without labels.
    """
    known = scores.labelled & ~np.isnan(scores.probability)
    if not known.any():
        return None
    score, index = np.unique(scores.probability[known], return_inverse=True)
    positive, negative = (
        np.bincount(index, np.where(which, scores.rows[known], 0), len(score)).astype(np.int64)
        for which in (scores.positive[known], ~scores.positive[known])
    )
    records = ScoredRecords.of([scores])
    area, _ = performance.roc_auc(records, *records.rows_by_label)
    mixed = bool(positive.any() and negative.any()) and not area[0] > SEPARATED
    calibrates = mixed and _helps(score, positive, negative)
    return Calibration.of(score, positive, negative, calibrates=calibrates)


def _helps(score: Floats, positive: Ints, negative: Ints) -> bool:
    """Return true if calibration lowers the Brier score of unseen records."""
    generator = np.random.default_rng(SEED)
    gain = 0.0
    for _ in range(FOLDS):
        test_positive, test_negative = (  # drawn without replacement
            generator.multivariate_hypergeometric(
                side, int(side.sum()) // FOLDS, method="marginals"
            )
            for side in (positive, negative)
        )
        fitted = _fit(score, positive - test_positive, negative - test_negative)
        gain += float(test_positive @ ((1 - score) ** 2 - (1 - fitted) ** 2))
        gain += float(test_negative @ (score**2 - fitted**2))
    return gain > 0


def _fit(score: Floats, positive: Ints, negative: Ints) -> Floats:
    """Fit to records of some of the probabilities, and return the calibrated one of each."""
    known = positive + negative > 0
    fitted = Calibration.of(score[known], positive[known], negative[known], calibrates=True)
    return fitted(score)
