"""How good predictions turned out to be, and how even-handed: fields of the rows `TABLE`.

Of the records whose label is known:

- `accuracy_score`; `log_loss` in nats; `confusion_matrix` with all four of its cells.
- `precision`, `recall`, `f1_score`: of each class (`one_vs_all`), their plain mean (`macro`) and
  their mean weighted by the class's labels (`weighted`), as scikit-learn with `zero_division=nan`:
  where nothing was predicted or nothing is labelled so, there is no value rather than zero, and
  means are of the rest.
- `roc_auc_score.one_vs_one.weighted`: with two classes it is the ROC AUC, ties half; null with
  labels of one class only.

Fairness, of Boolean slices: the figure of the slice's records over that of the others (`true` over
`false`, and the other way round), by class taken as the positive one. 1 is even-handed.

- `predictive_parity`: precision. `predictive_equality`: false positive rate.
- `equal_opportunity`: true positive rate, which is recall.
- `statistical_parity`: share of records predicted so; it needs no labels.

Null where either figure has no value, that of the others is 0, or there are no others. Databricks
describes these four as comparisons between groups; that they are ratios, and their names and
types in the table, is from memory and was not verified on a workspace.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from marvel_kedro.model.metrics import Flags, Floats, losses
from marvel_kedro.monitoring.aggregation import arrays
from marvel_kedro.monitoring.aggregation.arrays import NOWHERE
from marvel_kedro.monitoring.aggregation.distributions import Number, Runs, ratio
from marvel_kedro.monitoring.aggregation.value_counts import Group, Ints, Part, Scored, Window
from marvel_kedro.monitoring.tables import FAIRNESS_FIELDS, QUALITY_FIELDS

CLASSES = ("Alive", "Dead")
_TRUE, _FALSE = "true", "false"

Fields = dict[str, pa.Array]


@dataclass(frozen=True)
class Records:
    """The scored records of many groups, one group after the other, by probability in each.

    Attributes:
        runs: Which cells are whose.
        probability: Of Alive, shape (cells,).
        predicted: Whether the prediction is Alive, shape (cells,).
        labelled: Whether it is known what became of them, shape (cells,).
        alive: What became of them, shape (cells,).
        rows: Records by cell, shape (cells,).
    """

    runs: Runs
    probability: Floats
    predicted: Flags
    labelled: Flags
    alive: Flags
    rows: Ints

    @classmethod
    def of(cls, scored: Sequence[Scored]) -> "Records":
        """Lay the scored records of groups end to end."""
        runs = Runs.of([one.rows for one in scored])
        probability = np.concatenate([np.empty(0), *(one.probability for one in scored)])
        flags = [
            np.concatenate([np.empty(0, np.bool_), *(getattr(one, name) for one in scored)])
            for name in ("predicted", "labelled", "alive")
        ]
        rows = np.concatenate([np.empty(0, np.int64), *(one.rows for one in scored)])
        # Engines hand out groups in any order; sums of floats depend on it.
        order = np.lexsort((*flags, probability, runs.number))
        predicted, labelled, alive = (flag[order] for flag in flags)
        return cls(runs, probability[order], predicted, labelled, alive, rows[order])

    @cached_property
    def records(self) -> Ints:
        """By group."""
        return self.runs.sums(self.rows)

    @cached_property
    def labels(self) -> Ints:
        """Records with a label, by group."""
        return self._rows_where(self.labelled)

    @cached_property
    def confusion(self) -> Ints:
        """Labelled records by group, prediction and label; shape (groups, 2, 2), as `CLASSES`."""
        return np.stack(
            [
                self._rows_where(self.labelled & (self.predicted == said) & (self.alive == alive))
                for said in (True, False)
                for alive in (True, False)
            ],
            axis=1,
        ).reshape(-1, 2, 2)

    @cached_property
    def predictions(self) -> Ints:
        """Records by group and prediction; shape (groups, 2), as `CLASSES`."""
        alive = self._rows_where(self.predicted)
        return np.stack([alive, self.records - alive], axis=1)

    @cached_property
    def accuracy(self) -> Floats:
        """Share of labelled records that were predicted right, by group."""
        return ratio(np.trace(self.confusion, axis1=1, axis2=2), self.labels)

    @cached_property
    def log_loss(self) -> Floats:
        """Mean loss of labelled records in nats, by group."""
        loss = losses(self.alive, self.probability) * self.rows
        return ratio(self.runs.sums(np.where(self.labelled, loss, 0.0)), self.labels)

    @cached_property
    def roc_auc(self) -> Floats:
        """Area under the ROC curve of labelled records, by group."""
        known = np.where(self.labelled, self.rows, 0)
        return roc_auc(self, np.where(self.alive, known, 0), np.where(self.alive, 0, known))[0]

    @cached_property
    def ties(self) -> tuple[Runs, Ints]:
        """Cells of one group and probability: the ties of each group, the tie of each cell."""
        first = np.r_[
            np.ones(min(1, len(self.rows)), np.bool_),
            (np.diff(self.probability) != 0) | (np.diff(self.runs.number) != 0),
        ]
        return Runs(self.runs.counts(first)), np.cumsum(first) - 1

    def _rows_where(self, which: Flags) -> Ints:
        return self.runs.sums(np.where(which, self.rows, 0))


def roc_auc(
    of: Records, alive: npt.NDArray[Number], dead: npt.NDArray[Number]
) -> tuple[Floats, Floats]:
    """The chance that an Alive record scores above a Dead one, ties half, and its standard error.

    The error is that of DeLong et al. (1988): the variance, over the Alive records, of the share of
    Dead ones below each, by their number; plus the same the other way round.

    Args:
        of: The records.
        alive: How many of each cell are Alive, which may be an expected number; shape (cells,).
        dead: How many are Dead.

    Returns:
        Both by group; NaN where there is one class only, or a score is NaN.
    """
    runs, _ = of.ties
    alive, dead = by_tie(of, alive), by_tie(of, dead)
    all_alive, all_dead = runs.sums(alive), runs.sums(dead)
    beaten = runs.running(dead) + dead / 2
    beating = all_alive[runs.number] - runs.running(alive) - alive / 2
    unknown = of.runs.counts(np.isnan(of.probability)) > 0
    area = np.where(unknown, np.nan, ratio(runs.sums(alive * beaten), all_alive * all_dead))
    variance = sum(
        ratio(runs.sums(some * (ratio(won, pairs[runs.number]) - area[runs.number]) ** 2), own**2)
        for some, won, own, pairs in (
            (alive, beaten, all_alive, all_dead),
            (dead, beating, all_dead, all_alive),
        )
    )
    return area, np.sqrt(variance)


def by_tie(of: Records, values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Add up the values of cells of one group and probability; shape (ties,)."""
    _, tie = of.ties
    return Runs(np.bincount(tie)).sums(values)


def columns(keys: Sequence[tuple[Window | None, Part]], groups: Sequence[Group]) -> Fields:
    """The fields of quality and of fairness.

    Args:
        keys: The window (None: of the baseline) and the part of each group.
        groups: What was counted.

    Returns:
        By name of the field an array of one element a group.
    """
    records = Records.of([group.scored for group in groups])
    return _quality(records) | _fairness(records, _others(keys))


def _quality(records: Records) -> Fields:
    confusion = records.confusion
    hits, said, are = _margins(confusion)
    unlabelled = records.labels == 0
    cells = arrays.structs(
        {
            "prediction": pa.array(np.tile(np.repeat(CLASSES, 2), len(confusion))),
            "label": pa.array(np.tile(CLASSES, 2 * len(confusion))),
            "count": pa.array(confusion.reshape(-1)),
        }
    ).filter(pa.array(np.repeat(~unlabelled, 4)))
    fields = {
        "accuracy_score": arrays.doubles(records.accuracy),
        "log_loss": arrays.doubles(records.log_loss),
        "confusion_matrix": arrays.lists(cells, np.where(unlabelled, 0, 4), unlabelled),
        "roc_auc_score": _roc_auc(records.roc_auc),
        "precision": _averaged(ratio(hits, said), are, unlabelled),
        "recall": _averaged(ratio(hits, are), are, unlabelled),
        "f1_score": _averaged(ratio(2 * hits, said + are), are, unlabelled),
    }
    return {field.name: fields[field.name].cast(field.type) for field in QUALITY_FIELDS}


def _fairness(records: Records, others: Ints) -> Fields:
    hits, said, are = _margins(records.confusion)
    labels = records.labels[:, None]
    rates = {
        "predictive_parity": ratio(hits, said),
        "predictive_equality": ratio(said - hits, labels - are),
        "equal_opportunity": ratio(hits, are),
        "statistical_parity": ratio(records.predictions, records.records[:, None]),
    }
    nobody = others == NOWHERE
    fields = {}
    for field in FAIRNESS_FIELDS:
        rate = rates[field.name]
        parity = np.where(nobody[:, None], np.nan, ratio(rate, rate[others]))
        absent = np.all(np.isnan(parity), axis=1)
        by_class = {"one_vs_all": _by_class(parity, absent)}
        fields[field.name] = arrays.structs(by_class, absent).cast(field.type)
    return fields


def _margins(confusion: Ints) -> tuple[Ints, Ints, Ints]:
    """By group and class: predicted so and labelled so; predicted so; labelled so."""
    return np.diagonal(confusion, axis1=1, axis2=2), confusion.sum(axis=2), confusion.sum(axis=1)


def _averaged(scores: Floats, labels: Ints, absent: Flags) -> pa.StructArray:
    """A score by class, and its means over the classes that have one."""
    known = ~np.isnan(scores)
    filled = np.where(known, scores, 0.0)
    macro = ratio(filled.sum(axis=1), known.sum(axis=1))
    weight = np.where(known, labels, 0)
    weighted = ratio((filled * weight).sum(axis=1), weight.sum(axis=1))
    return arrays.structs(
        {
            "one_vs_all": _by_class(scores, absent),
            "macro": arrays.doubles(macro),
            # As scikit-learn: only a class without labels has a score.
            "weighted": arrays.doubles(np.where(np.isnan(weighted), macro, weighted)),
        },
        absent,
    )


def _by_class(scores: Floats, absent: Flags) -> pa.MapArray:
    number = len(scores) - int(absent.sum())
    offsets = np.concatenate([[0], np.cumsum(np.where(absent, 0, len(CLASSES)))])
    return pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()),
        pa.array(CLASSES * number, pa.string()),
        arrays.doubles(scores[~absent].reshape(-1)),
        mask=pa.array(absent),
    )


def _roc_auc(area: Floats) -> pa.StructArray:
    absent = np.isnan(area)
    weighted = arrays.structs({"weighted": arrays.doubles(area)}, absent)
    return arrays.structs({"one_vs_one": weighted}, absent)


def _others(keys: Sequence[tuple[Window | None, Part]]) -> Ints:
    """By group the one that holds the other records, if its part is a Boolean slice."""
    place = {key: number for number, key in enumerate(keys)}
    opposite = {_TRUE: _FALSE, _FALSE: _TRUE}
    return np.array(
        [
            place.get((window, replace(part, slice_value=opposite[part.slice_value])), NOWHERE)
            if part.slice_value in opposite
            else NOWHERE
            for window, part in keys
        ],
        np.int64,
    )
