"""Performance and fairness metrics of labelled records: fields of the `TABLE` rows.

- `accuracy_score`; `log_loss` in nats; `confusion_matrix` with all four combinations.
- `precision`, `recall`, `f1_score`: by class (`one_vs_all`), their unweighted mean (`macro`) and
  the mean weighted by the labels of a class (`weighted`), as in scikit-learn with
  `zero_division=nan`: an undefined score is null rather than zero, and the means skip it.
- `roc_auc_score.one_vs_one.weighted`: for two classes the ROC AUC, ties half; null if all labels
  are of one class.

Fairness metrics of a Boolean slice are ratios, by positive class: the rate in the slice's records
over the rate in all others (`true` over `false` and the reverse). 1 means parity.

- `predictive_parity`: precision. `predictive_equality`: false positive rate.
- `equal_opportunity`: true positive rate (recall).
- `statistical_parity`: share of records predicted as the class; needs no labels.

Null where a rate is undefined, the other rate is 0, or there are no other records. Databricks
describes these as comparisons between groups; that they are ratios, and their names and types, was
not verified on a workspace.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marvel_kedro.model.metrics import Flags, Floats, losses
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.arrays import MISSING, GroupKey
from marvel_kedro.monitoring.aggregation.distributions import concatenate, ratio
from marvel_kedro.monitoring.aggregation.ragged import Number, RaggedIndex
from marvel_kedro.monitoring.aggregation.value_counts import Group, Ints, ScoreCounts

_OPPOSITE = {"true": "false", "false": "true"}

Classes = tuple[str, str]
"""The positive class and the other."""
Fields = dict[str, pa.Array]


@dataclass(frozen=True)
class ScoredRecords(ScoreCounts):
    """Score counts of many groups, end to end, by ascending probability in each."""

    index: RaggedIndex

    @classmethod
    def of(cls, scores: Sequence[ScoreCounts]) -> "ScoredRecords":
        """Concatenate the score counts of groups."""
        index = RaggedIndex.of([one.rows for one in scores])
        probability = concatenate((one.probability for one in scores), np.float64)
        flags = [
            concatenate((getattr(one, name) for one in scores), np.bool_)
            for name in ("predicted", "labelled", "positive")
        ]
        rows = concatenate((one.rows for one in scores), np.int64)
        # Sums of floats depend on the order, which engines do not guarantee.
        order = np.lexsort((*flags, probability, index.parent))
        predicted, labelled, positive = (flag[order] for flag in flags)
        return cls(probability[order], predicted, labelled, positive, rows[order], index)

    @cached_property
    def records(self) -> Ints:
        """Records by group."""
        return self.index.sums(self.rows)

    @cached_property
    def labels(self) -> Ints:
        """Labelled records by group."""
        return self.rows_where(self.labelled)

    @cached_property
    def confusion(self) -> Ints:
        """Labelled records by group, prediction and label: (groups, 2, 2), positive first."""
        counts = [
            self.rows_where(
                self.labelled & (self.predicted == predicted) & (self.positive == positive)
            )
            for predicted in (True, False)
            for positive in (True, False)
        ]
        return np.stack(counts, axis=1).reshape(-1, 2, 2)

    @cached_property
    def rows_by_label(self) -> tuple[Ints, Ints]:
        """Records by element that are labelled with each class, both of shape (elements,)."""
        known = np.where(self.labelled, self.rows, 0)
        return np.where(self.positive, known, 0), np.where(self.positive, 0, known)

    @cached_property
    def ties(self) -> tuple[RaggedIndex, RaggedIndex]:
        """Ties by group, and elements by tie: the elements of one group and probability."""
        first = np.r_[
            np.ones(min(1, len(self.rows)), np.bool_),
            (np.diff(self.probability) != 0) | (np.diff(self.index.parent) != 0),
        ]
        return RaggedIndex(self.index.counts(first)), RaggedIndex(np.bincount(np.cumsum(first) - 1))

    def rows_where(self, which: Flags) -> Ints:
        """Count the records of flagged elements by group."""
        return self.index.sums(np.where(which, self.rows, 0))


def roc_auc(
    records: ScoredRecords, positive: npt.NDArray[Number], negative: npt.NDArray[Number]
) -> tuple[Floats, Floats]:
    """Compute the ROC AUC, ties half, and its standard error.

    The error is that of DeLong et al. (1988): the variance over the positive records of the share
    of negative records below each, divided by their number, plus the same with the classes swapped.
    `positive` and `negative` are numbers of records by element, possibly expectations.

    Returns:
        Both by group; NaN if there is only one class, or a probability is NaN.
    """
    groups, ties = records.ties
    positive, negative = ties.sums(positive), ties.sums(negative)
    all_positive, all_negative = groups.sums(positive), groups.sums(negative)
    negative_below, positive_above = _beaten(groups, positive, negative)
    unknown = records.index.counts(np.isnan(records.probability)) > 0
    area = ratio(groups.sums(positive * negative_below), all_positive * all_negative)
    area = np.where(unknown, np.nan, area)
    variance = sum(
        ratio(
            groups.sums(own * (ratio(won, others[groups.parent]) - area[groups.parent]) ** 2),
            total**2,
        )
        for own, won, total, others in (
            (positive, negative_below, all_positive, all_negative),
            (negative, positive_above, all_negative, all_positive),
        )
    )
    return area, np.sqrt(variance)


def roc_auc_gradient(
    records: ScoredRecords,
    positive: npt.NDArray[Number],
    negative: npt.NDArray[Number],
    area: Floats,
) -> Floats:
    """Return by element how the ROC AUC changes with a record's chance of the positive class."""
    groups, ties = records.ties
    below, above = _beaten(groups, ties.sums(positive), ties.sums(negative))
    all_positive, all_negative = (
        records.index.sums(side)[records.index.parent] for side in (positive, negative)
    )
    area = area[records.index.parent]
    won, lost = ratio(below[ties.parent], all_negative), ratio(above[ties.parent], all_positive)
    return ratio(won - area, all_positive) - ratio(lost - area, all_negative)


def _beaten(
    groups: RaggedIndex, positive: npt.NDArray[Number], negative: npt.NDArray[Number]
) -> tuple[Floats, Floats]:
    """Return by tie the negative records below and the positive ones above, ties half."""
    positive_above = (
        groups.sums(positive)[groups.parent] - groups.sums_before(positive) - positive / 2
    )
    return groups.sums_before(negative) + negative / 2, positive_above


def performance_columns(
    keys: Sequence[GroupKey], groups: Sequence[Group], classes: Classes
) -> Fields:
    """Compute the performance and fairness fields by name, with one element per group."""
    records = ScoredRecords.of([group.scored for group in groups])
    return _performance(records, classes) | _fairness(records, _opposite_slices(keys), classes)


def _performance(records: ScoredRecords, classes: Classes) -> Fields:
    confusion = records.confusion
    hits, predicted, actual = _margins(confusion)
    unlabelled = records.labels == 0
    loss = losses(records.positive, records.probability) * records.rows
    loss_sum = records.index.sums(np.where(records.labelled, loss, 0.0))
    matrix = arrays.structs(
        {
            "prediction": pa.array(np.tile(np.repeat(classes, 2), len(confusion))),
            "label": pa.array(np.tile(classes, 2 * len(confusion))),
            "count": pa.array(confusion.reshape(-1)),
        }
    ).filter(pa.array(np.repeat(~unlabelled, 4)))
    area, _ = roc_auc(records, *records.rows_by_label)
    no_area = np.isnan(area)
    weighted = arrays.structs({"weighted": arrays.doubles(area)}, no_area)
    return {
        "accuracy_score": arrays.doubles(ratio(hits.sum(axis=1), records.labels)),
        "log_loss": arrays.doubles(ratio(loss_sum, records.labels)),
        "confusion_matrix": arrays.lists(matrix, np.where(unlabelled, 0, 4), unlabelled),
        "roc_auc_score": arrays.structs({"one_vs_one": weighted}, no_area),
        "precision": _averages(ratio(hits, predicted), actual, unlabelled, classes),
        "recall": _averages(ratio(hits, actual), actual, unlabelled, classes),
        "f1_score": _averages(ratio(2 * hits, predicted + actual), actual, unlabelled, classes),
    }


def _fairness(records: ScoredRecords, opposite: Ints, classes: Classes) -> Fields:
    hits, predicted, actual = _margins(records.confusion)
    labels = records.labels[:, None]
    predicted_positive = records.rows_where(records.predicted)
    rates = {
        "predictive_parity": ratio(hits, predicted),
        "predictive_equality": ratio(predicted - hits, labels - actual),
        "equal_opportunity": ratio(hits, actual),
        "statistical_parity": ratio(
            np.stack([predicted_positive, records.records - predicted_positive], axis=1),
            records.records[:, None],
        ),
    }
    alone = (opposite == MISSING)[:, None]
    fields = {}
    for name, rate in rates.items():
        parity = np.where(alone, np.nan, ratio(rate, rate[opposite]))
        missing = np.all(np.isnan(parity), axis=1)
        fields[name] = arrays.structs({"one_vs_all": _by_class(parity, missing, classes)}, missing)
    return fields


def _margins(confusion: Ints) -> tuple[Ints, Ints, Ints]:
    """Return by group and class: true positives, predictions, labels."""
    return np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2), confusion.sum(axis=1)


def _averages(scores: Floats, labels: Ints, missing: Flags, classes: Classes) -> pa.StructArray:
    """Combine a score by class with its means over the classes where it is defined."""
    known = ~np.isnan(scores)
    filled = np.where(known, scores, 0.0)
    macro = ratio(filled.sum(axis=1), known.sum(axis=1))
    weight = np.where(known, labels, 0)
    weighted = ratio((filled * weight).sum(axis=1), weight.sum(axis=1))
    return arrays.structs(
        {
            "one_vs_all": _by_class(scores, missing, classes),
            "macro": arrays.doubles(macro),
            # As in scikit-learn if only a class without labels has a score.
            "weighted": arrays.doubles(np.where(np.isnan(weighted), macro, weighted)),
        },
        missing,
    )


def _by_class(scores: Floats, missing: Flags, classes: Classes) -> pa.MapArray:
    offsets = np.concatenate([[0], np.cumsum(np.where(missing, 0, len(classes)))])
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(classes * int((~missing).sum()), pa.string()),
        arrays.doubles(scores[~missing].reshape(-1)),
        mask=pa.array(missing),
    )


def _opposite_slices(keys: Sequence[GroupKey]) -> Ints:
    """Return the group with the other records of each Boolean slice, else `MISSING`."""
    index = {key: number for number, key in enumerate(keys)}
    found = np.full(len(keys), MISSING)
    for number, (window, segment) in enumerate(keys):
        if opposite := _OPPOSITE.get(segment.slice_value or ""):
            found[number] = index.get((window, replace(segment, slice_value=opposite)), MISSING)
    return found
