"""Draw the plots of a candidate on the test rows, without global state."""

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from marvel_kedro.core.rounding import rounded
from marvel_kedro.model.evaluation import titles
from marvel_kedro.model.metrics import Floats
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.table.description import TableSpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which are distinct with every kind of colour vision.
COLOURS = {
    "candidate": "#0072B2",
    "champion": "#009E73",
    "logistic_regression": "#E69F00",
    "constant": "#999999",
}
INK = "#333333"


def draw_all(
    test_scores: pd.DataFrame,
    evaluation: pd.DataFrame,
    candidate: TabularModel,
    table: TableSpec,
    bins: int,
) -> "dict[str, Figure]":
    """Draw `roc`, `calibration` (with `bins` bins), `confusion` and `importance`."""
    return {
        "roc": draw_roc(test_scores, evaluation, table),
        "calibration": draw_calibration(test_scores, evaluation, table, bins),
        "confusion": draw_confusion(test_scores, candidate.threshold, table),
        "importance": draw_importance(candidate.importances()),
    }


def draw_roc(test_scores: pd.DataFrame, evaluation: pd.DataFrame, table: TableSpec) -> "Figure":
    """Draw the ROC curves of the candidate, the champion and the baselines."""
    from sklearn.metrics import roc_curve  # noqa: PLC0415 - monitoring's plots need no scikit-learn

    figure = _figure(6.0, 5.6)
    axes = figure.subplots()
    areas, models = _overall(evaluation, "roc_auc"), titles(test_scores["constant"].mean())
    if np.isnan(areas["candidate"]):
        axes.axis("off")
        title(axes, "No ROC curve: all labels are of one class")
        return figure
    for name, area in areas.items():
        rows = test_scores.dropna(subset=[name])  # without those a champion was trained on
        false, true, _ = roc_curve(rows[table.target.column], rows[name])
        axes.plot(false, true, color=COLOURS[name], label=f"{models[name]}  {area:.3f}", lw=2)
    axes.set(xlabel="False positive rate", ylabel="True positive rate")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    plain(axes)
    axes.legend(title="area under the curve", loc="lower right", frameon=False)
    positive, other = table.target.classes
    share = rounded(areas["candidate"], ".0%")
    title(axes, f"Ranks {positive} above {other} in {share} of pairs")
    return figure


def draw_calibration(
    test_scores: pd.DataFrame, evaluation: pd.DataFrame, table: TableSpec, bins: int
) -> "Figure":
    """Draw the share of the positive class by predicted probability, with 95 % Wilson intervals."""
    figure, positive = _figure(6.4, 6.0), table.target.positive
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    member = np.minimum((test_scores["candidate"] * bins).astype(int), bins - 1)
    groups = test_scores.groupby(member)[table.target.column].agg(
        share="mean", hits="sum", rows="size"
    )
    above.plot([0, 1], [0, 1], color=COLOURS["constant"], ls="--", label="perfect")
    above.errorbar(
        test_scores["candidate"].groupby(member).mean(),
        groups["share"],
        yerr=np.abs(_wilson(groups["hits"], groups["rows"]) - groups["share"].to_numpy()),
        color=COLOURS["candidate"],
        marker="o",
        capsize=3,
        lw=1.5,
        label="candidate",
    )
    above.set(ylim=(0, 1), xlim=(0, 1), ylabel=f"Share of {positive}")
    above.legend(frameon=False, loc="upper left")
    below.hist(test_scores["candidate"], bins=40, range=(0, 1), color=COLOURS["candidate"])
    below.set(xlabel=f"Predicted probability of {positive}", ylabel="Rows")
    for axes in (above, below):
        plain(axes)
    gap = _overall(evaluation, "ece")["candidate"]
    title(above, f"Probabilities are off by {rounded(gap, '.1%').rstrip('%')} points on average")
    return figure


def draw_confusion(test_scores: pd.DataFrame, threshold: float, table: TableSpec) -> "Figure":
    """Draw the confusion matrix: rows, and their share of each label."""
    figure = _figure(6.0, 4.6)
    axes = figure.subplots()
    labels, sides = table.target.classes, (True, False)
    predicted = (test_scores["candidate"] >= threshold).to_numpy()
    truth = test_scores[table.target.column].to_numpy()
    counts = np.array([[np.sum((truth == t) & (predicted == p)) for p in sides] for t in sides])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), rows in np.ndenumerate(counts):
        share = shares[row, column]
        colour = "white" if share > 0.5 else INK  # noqa: PLR2004 - half of the colour scale
        text = f"{rows:,}\n{rounded(share, '.0%')}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    shown = [fill(label, 16) for label in labels]
    axes.set(xticks=[0, 1], xticklabels=shown, yticks=[0, 1], yticklabels=shown)
    axes.set(xlabel="Predicted", ylabel="True")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    of_class = counts.sum(axis=1)
    right, base = (
        rounded(part / max(counts.sum(), 1), ".1%") for part in (np.trace(counts), of_class.max())
    )
    title(axes, f"{right} are right; of “all {labels[of_class.argmax()]}”, {base} would be")
    return figure


def draw_importance(importances: "pd.Series[float]") -> "Figure":
    """Draw the features with the largest gain."""
    top = importances.head(20)[::-1]
    shares = top / max(importances.sum(), 1e-12)
    figure = _figure(7.2, 5.6)
    axes = figure.subplots()
    axes.barh([name.replace("_", " ") for name in top.index], shares, color=COLOURS["candidate"])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set(xlabel="Share of the gain in log loss on the training rows")
    axes.tick_params(axis="y", length=0)
    plain(axes)
    title(axes, f"“{top.index[-1].replace('_', ' ')}” matters most")
    return figure


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # noqa: PLC0415 - slow to import

    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: "Axes") -> None:
    """Remove the upper and right spine and draw a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#e6e6e6", lw=0.8)
    axes.set_axisbelow(True)


def title(axes: "Axes", finding: str) -> None:
    """Set the title to the finding of the plot."""
    axes.set_title(fill(finding, 46), loc="left", color=INK, fontsize=12, fontweight="bold")


def _overall(evaluation: pd.DataFrame, metric: str) -> dict[str, float]:
    """Return a metric on all rows by model."""
    rows = evaluation[evaluation["slice_key"].isna() & (evaluation["metric"] == metric)]
    return dict(zip(rows["model"], rows["value"], strict=True))


def _wilson(hits: "pd.Series[int]", rows: "pd.Series[int]") -> Floats:
    """Compute the 95 % intervals of shares (Wilson, 1927), shape (2, shares)."""
    from scipy.stats import binomtest  # noqa: PLC0415 - monitoring's plots need no SciPy

    tests = (binomtest(int(k), int(n)) for k, n in zip(hits, rows, strict=True))
    return np.transpose([test.proportion_ci(method="wilson")[:2] for test in tests])
