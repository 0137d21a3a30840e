"""Evaluate models: each performance metric with its interval, on all rows and by slice."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from marvel_kedro.core.rounding import rounded
from marvel_kedro.model import metrics
from marvel_kedro.model.metrics import Flags, Floats, Integers, ScorePairs, value_of
from marvel_kedro.model.options import EvaluationOptions
from marvel_kedro.table.description import TableSpec

MODELS = {
    "candidate": "candidate",
    "champion": "champion",
    "logistic_regression": "logistic regression",
    "constant": "constant",
}
"""The models of a training with their titles in reports."""

GRID_STEPS = 1000
COLUMNS = ["model", "slice_key", "slice_value", "rows", "metric", "value", "low", "high"]

_SLICE_VALUES = 6
_SLICE_SHARE = 0.02
_SLICE_ROWS = 20


def slices(records: pd.DataFrame, table: TableSpec) -> pd.DataFrame:
    """Assign each raw record to its slices.

    Returns:
        A column of text by slice of the description, with the index of the records. A condition
        is `yes` or `no`. Of a column the most frequent values are slices; rarer ones are `Other`,
        missing ones `Unknown`.
    """
    columns = {
        name: _slice_values(records[each.column])
        if each.value is None
        else np.where(records[each.column].eq(each.value), "yes", "no")
        for name, each in table.slices_by_name.items()
    }
    return pd.DataFrame(columns, index=records.index).astype("str")


def _slice_values(values: "pd.Series[str]") -> "pd.Series[str]":
    filled = values.fillna("Unknown")
    rows = (
        filled[values.notna()]
        .value_counts()
        .sort_index()
        .sort_values(ascending=False, kind="stable")
    )  # of equally frequent values the first one by name
    frequent = rows[rows >= max(_SLICE_SHARE * len(values), _SLICE_ROWS)].head(_SLICE_VALUES)
    return filled.where(filled.isin([*frequent.index, "Unknown"]), "Other")


def groups(slice_columns: pd.DataFrame) -> Iterator[tuple[str | None, str | None, Flags]]:
    """Yield all rows, then each value of each slice: its key, its value and its rows."""
    yield None, None, np.ones(len(slice_columns), dtype=bool)
    for key in slice_columns:
        for value in sorted(slice_columns[key].unique()):
            yield str(key), str(value), (slice_columns[key] == value).to_numpy()


def evaluate(  # noqa: PLR0913 - `cluster` is optional
    positive: Flags,
    scores: dict[str, Floats],
    slice_columns: pd.DataFrame,
    options: EvaluationOptions,
    threshold: float,
    *,
    cluster: Integers | None = None,
) -> pd.DataFrame:
    """Measure models on the same rows; the order of the rows does not matter.

    Args:
        positive: The labels, shape (rows,): true for the positive class.
        scores: Probabilities of it by model, each of shape (rows,). NaN excludes a row from the
            metrics of a model: it was trained on it.
        slice_columns: The result of `slices` for the rows.
        options: Resamples, confidence and bins.
        threshold: Probability at or above which the prediction is the positive class.
        cluster: The cluster of each row; rows of one depend on each other, so intervals come from
            drawing whole clusters. None: rows are independent.

    Returns:
        One row per model, slice and metric: `model`, `slice_key` and `slice_value` (null for all
        rows), `rows`, `metric`, `value`, and the percentile bootstrap interval from `low` to
        `high`, which is symmetric for `ece`. An undefined metric (ROC AUC of one class) is null.
    """
    functions = metrics.all_metrics(threshold, options.calibration_bins)
    tail = (1 - options.confidence) / 2
    found = []
    for key, value, inside in groups(slice_columns):
        for model, score in scores.items():
            unseen = inside & ~np.isnan(score)
            if not unseen.any():
                continue
            labels, probability = positive[unseen], np.asarray(score[unseen], dtype=np.float64)
            clusters = None if cluster is None else cluster[unseen]
            pairs, gridded, drawn = _resample(labels, probability, clusters, options)
            draws = [[metric(gridded, counts) for metric in functions.values()] for counts in drawn]
            for number, (name, metric) in enumerate(functions.items()):
                figure = value_of(metric, pairs)
                resampled = np.concatenate([draw[number] for draw in draws])
                bounds = _interval(name, figure, resampled - value_of(metric, gridded), tail)
                found.append((model, key, value, int(unseen.sum()), name, figure, *bounds))
    return pd.DataFrame(found, columns=COLUMNS).astype({"slice_key": "str", "slice_value": "str"})


def _resample(
    positive: Flags, score: Floats, cluster: Integers | None, options: EvaluationOptions
) -> tuple[ScorePairs, ScorePairs, Iterator[Floats]]:
    """Return the pairs, the pairs to resample (merged if there are many), and the resamples.

    Resampling tens of thousands of pairs would take most of a run, and the difference between
    neighbouring scores does not change the width of an interval. Scores are merged by their rank,
    so that those of a rare class, all of them small, stay apart.
    """
    pairs, member = ScorePairs.with_members(positive, score)
    gridded, generator = pairs, np.random.default_rng(options.seed)
    drawn_from = pairs.rows if cluster is None else score  # clusters are drawn by row
    if len(drawn_from) > 2 * GRID_STEPS:
        gridded, member = ScorePairs.with_members(positive, _merged(score))
    if cluster is None:
        return pairs, gridded, metrics.resamples(gridded.rows, options.resamples, generator)
    number = np.unique(cluster, return_inverse=True)[1]
    drawn = metrics.cluster_resamples(member, number, options.resamples, generator)
    return pairs, gridded, drawn


def _merged(score: Floats) -> Floats:
    """Replace scores of neighbouring ranks, `GRID_STEPS` groups of them, by their mean."""
    distinct, member, rows = np.unique(score, return_inverse=True, return_counts=True)
    group = (np.cumsum(rows) - rows) * GRID_STEPS // len(score)
    total, of_group = np.bincount(group, distinct * rows), np.bincount(group, rows)
    return (total / np.maximum(of_group, 1))[group][member]


def _interval(metric: str, figure: float, shifts: Floats, tail: float) -> tuple[float, float]:
    """Compute the bounds of a figure from the quantiles of its defined shifts.

    A calibration error is a sum of absolute gaps. Resampling adds to it what sampling has already
    added once, so that all percentiles may lie above the true value and the figure. Its lower bound
    is therefore as far below the figure as the upper one is above, and at least 0.
    """
    defined = shifts[~np.isnan(shifts)]
    if not len(defined):
        return np.nan, np.nan
    low, high = np.quantile(defined, [tail, 1 - tail]).tolist()
    if metric == "ece":
        reach = max(high, 0.0)
        return max(0.0, figure - reach), figure + reach
    return figure + low, figure + high


def titles(constant: float) -> dict[str, str]:
    """Return the titles of the models; that of the constant model has its probability."""
    return MODELS | {"constant": f"constant ({rounded(constant, '.0%')})"}


def one_class(evaluation: pd.DataFrame, table: TableSpec) -> dict[str, str]:
    """Return a sentence each for `labels` and `predictions` of the candidate that have one class.

    The average precision of a constant is the share of positive rows. With accuracy and F1 it shows
    whether both classes are predicted.
    """
    overall, (positive, other) = _overall(evaluation), table.target.classes
    names = [("constant", "pr_auc"), ("candidate", "accuracy"), ("candidate", "f1")]
    if not set(names) <= {*overall.index}:
        return {}
    share, accuracy, f1 = np.nan_to_num(overall.reindex(names).to_numpy(dtype=np.float64))
    sentences = {}
    if share in {0, 1}:
        label = positive if share else other
        sentences["labels"] = f"All test labels are {label}: there is no ROC AUC."
    answers = {positive: (share, 2 * share / (1 + share)), other: (1 - share, 0.0)}
    for answer, figures in answers.items():
        if np.allclose((accuracy, f1), figures, rtol=0, atol=1e-9):
            sentences["predictions"] = (
                f"The candidate predicts {answer} for every test row: "
                f"its accuracy, {rounded(accuracy, '.1%')}, is the share of {answer}."
            )
    return sentences


def _overall(evaluation: pd.DataFrame) -> "pd.Series[float]":
    """Return the values on all rows by model and metric."""
    rows = evaluation[evaluation["slice_key"].isna()]
    return rows.set_index(["model", "metric"])["value"]


def candidate_metrics(evaluation: pd.DataFrame) -> dict[str, float]:
    """Return the candidate's metrics on all rows: `metric`, `metric_low` and `metric_high`."""
    overall = evaluation.query("model == 'candidate' and slice_key.isna()")
    return {
        f"{metric}{suffix}": float(figures[column])
        for metric, figures in overall.set_index("metric").iterrows()
        for suffix, column in (("", "value"), ("_low", "low"), ("_high", "high"))
    }
