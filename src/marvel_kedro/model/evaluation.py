"""How good models are: every metric with an interval, overall and by slice."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from marvel_kedro.model import metrics
from marvel_kedro.model.metrics import Cells, Flags, Floats
from marvel_kedro.model.options import EvaluationOptions

Clusters = npt.NDArray[np.int64]

SLICES = ("identity", "gender", "earth_616")
GRID_STEPS = 1000
COLUMNS = ["model", "slice_key", "slice_value", "rows", "metric", "value", "low", "high"]


def slices(records: pd.DataFrame) -> pd.DataFrame:
    """The groups that a record belongs to.

    Args:
        records: Raw records with `identity`, `gender` and `universe`.

    Returns:
        `identity` (Public, Secret or Unknown), `gender` (Male, Female, Other or Unknown) and
        `earth_616` (yes or no), under the index of the records.
    """
    identity = records["identity"].fillna("Unknown")
    gender = records["gender"].fillna("Unknown")
    return pd.DataFrame(
        {
            "identity": identity.where(identity.isin(["Public", "Secret"]), "Unknown"),
            "gender": gender.where(gender.isin(["Male", "Female", "Unknown"]), "Other"),
            "earth_616": np.where(records["universe"].eq("Earth-616"), "yes", "no"),
        },
        index=records.index,
    ).astype("str")


def groups(slice_columns: pd.DataFrame) -> Iterator[tuple[str | None, str | None, Flags]]:
    """All rows, then every value of every slice: its key, its value and its rows."""
    yield None, None, np.ones(len(slice_columns), dtype=bool)
    for key in slice_columns:
        for value in sorted(slice_columns[key].unique()):
            yield str(key), str(value), (slice_columns[key] == value).to_numpy()


def evaluate(  # noqa: PLR0913 - the last one is for those who need it
    alive: npt.NDArray[np.bool_],
    scores: dict[str, Floats],
    slice_columns: pd.DataFrame,
    options: EvaluationOptions,
    threshold: float,
    *,
    cluster: Clusters | None = None,
) -> pd.DataFrame:
    """Measure models on the same rows.

    Args:
        alive: The labels, shape (rows,).
        scores: Probabilities of Alive by model, each of shape (rows,); NaN where the model was
            trained on the row, which is left out of its figures.
        slice_columns: What `slices` returns for the rows.
        options: How.
        threshold: From which probability on the prediction is Alive.
        cluster: By row what it has in common with others that it depends on: intervals come from
            drawing whole clusters. None: rows are independent.

    Returns:
        One row a model, slice and metric: `model`, `slice_key` and `slice_value` (null for all
        rows), `rows`, `metric`, `value`, and the percentile bootstrap interval `low` to `high`,
        for `ece` symmetric. A metric that is not defined (ROC AUC of one class) is null.
        The order of the rows does not matter.
    """
    functions = metrics.all_metrics(threshold, options.calibration_bins)
    tail = (1 - options.confidence) / 2
    found = []
    for key, value, inside in groups(slice_columns):
        for model, score in scores.items():
            fair = inside & ~np.isnan(score)
            if not fair.any():
                continue
            cells = Cells.of(alive[fair], np.asarray(score[fair], dtype=np.float64))
            if cluster is None:
                shifts = _shifts(cells.on_grid(GRID_STEPS), functions, options)
            else:
                shifts = _clustered_shifts(
                    alive[fair], score[fair], cluster[fair], functions, options
                )
            for name, function in functions.items():
                figure = value_of(function, cells)
                bounds = _interval(name, figure, *_quantiles(shifts[name], tail))
                found.append((model, key, value, int(fair.sum()), name, figure, *bounds))
    return pd.DataFrame(found, columns=COLUMNS).astype({"slice_key": "str", "slice_value": "str"})


def value_of(function: metrics.Metric, cells: Cells) -> float:
    """A metric on the rows as they are."""
    return float(function(cells, cells.rows[None, :].astype(np.float64))[0])


def _shifts(
    cells: Cells, functions: dict[str, metrics.Metric], options: EvaluationOptions
) -> dict[str, Floats]:
    """By metric how far it moves in each resample."""
    generator = np.random.default_rng(options.seed)
    drawn = metrics.resamples(cells.rows, options.resamples, generator)
    return _moves(cells, drawn, functions)


def _clustered_shifts(
    alive: Flags,
    score: Floats,
    cluster: Clusters,
    functions: dict[str, metrics.Metric],
    options: EvaluationOptions,
) -> dict[str, Floats]:
    """The same where whole clusters are drawn."""
    if len(score) > 2 * GRID_STEPS:
        score = metrics.centres(score, GRID_STEPS)
    cells, member = Cells.with_members(alive, score)
    number = np.unique(cluster, return_inverse=True)[1]
    generator = np.random.default_rng(options.seed)
    drawn = metrics.cluster_resamples(member, number, options.resamples, generator)
    return _moves(cells, drawn, functions)


def _moves(
    cells: Cells, drawn: Iterator[Floats], functions: dict[str, metrics.Metric]
) -> dict[str, Floats]:
    draws: dict[str, list[Floats]] = {name: [] for name in functions}
    for counts in drawn:
        for name, function in functions.items():
            draws[name].append(function(cells, counts))
    return {
        name: np.concatenate(draws[name]) - value_of(function, cells)
        for name, function in functions.items()
    }


def _interval(metric: str, figure: float, low: float, high: float) -> tuple[float, float]:
    """The bounds of a figure from those of its shifts.

    Resampling adds to a calibration error, a sum of absolute gaps, what sampling has added once
    already, so that its percentiles may all lie above the truth and above the figure. Its lower
    bound is therefore as far below as its upper one is above, and 0 at the least.
    """
    if metric != "ece":
        return figure + low, figure + high
    reach = max(high, 0.0)
    return max(0.0, figure - reach), figure + reach


def _quantiles(shifts: Floats, tail: float) -> tuple[float, float]:
    defined = shifts[~np.isnan(shifts)]
    if len(defined) == 0:
        return np.nan, np.nan
    low, high = np.quantile(defined, [tail, 1 - tail])
    return float(low), float(high)
