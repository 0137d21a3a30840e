"""Plots of an A/B test: who got the requests, and how the difference became clear."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from marvel_kedro.model.plots import INK, plain, title
from marvel_kedro.monitoring.ab_test.comparison import GAINS

# Okabe and Ito's, as in the plots of `training`: the champion's green first.
COLOURS = ("#009E73", "#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_MOST_OF_THE_ERROR = 4.0


def draw_traffic(traffic: pd.DataFrame) -> Figure:
    """Requests a day by entity, the champion at the bottom."""
    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    axes = figure.subplots()
    below = np.zeros(len(traffic))
    for number, entity in enumerate(traffic):
        colour = COLOURS[number % len(COLOURS)]
        axes.bar(traffic.index, traffic[entity], bottom=below, color=colour, label=str(entity))
        below = below + traffic[entity].to_numpy()
    axes.set(ylabel="Requests a day")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    figure.legend(frameon=False, loc="outside lower center", ncols=3)
    _dates(axes)
    plain(axes)
    share = traffic.iloc[:, 0].sum() / max(below.sum(), 1)
    title(axes, f"{share:.0%} of the requests went to {traffic.columns[0]}")
    return figure


def draw_gain(history: pd.DataFrame) -> Figure:
    """How much better than the champion, with the bounds, as the end of each day saw it."""
    decisive = history[history["metric"] == GAINS[0]]
    entities = list(decisive["entity"].unique())
    figure = Figure(figsize=(7.6, 3.6 * len(entities)), layout="constrained")
    for number, (axes, entity) in enumerate(
        zip(np.atleast_1d(figure.subplots(len(entities), 1, sharex=True)), entities, strict=True), 1
    ):
        rows = decisive[decisive["entity"] == entity]
        rows = rows[np.isfinite(rows["low"]) & np.isfinite(rows["high"])]
        colour = COLOURS[number % len(COLOURS)]
        days = pd.to_datetime(rows["day"])
        axes.axhline(0, color=INK, lw=1)
        axes.fill_between(days, rows["low"], rows["high"], color=colour, alpha=0.25, lw=0)
        axes.plot(days, rows["gain"], color=colour, lw=2, marker="o", ms=3)
        axes.set(ylabel="Gain in log loss")
        _dates(axes)
        plain(axes)
        if len(rows):
            last = rows.iloc[-1]
            # The first days know little: their bounds would flatten all the others.
            widest = _MOST_OF_THE_ERROR * (last["high"] - last["low"])
            middle = (last["high"] + last["low"]) / 2
            least = min(0, middle - widest / 2)
            most = max(0, middle + widest / 2)
            axes.set_ylim(max(least, rows["low"].min()), min(most, rows["high"].max()))
            finding = _finding(last["low"], last["high"], str(entity))
        else:
            finding = f"Too few labels to say anything of {entity}"
        title(axes, finding)
    return figure


def _finding(low: float, high: float, entity: str) -> str:
    if low > 0:
        return f"{entity} is better: above 0 lies all that is believable"
    if high < 0:
        return f"{entity} is worse: below 0 lies all that is believable"
    return f"{entity}: the difference may still be 0"


def _dates(axes: Axes) -> None:
    locator = AutoDateLocator(minticks=2, maxticks=8)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(
        ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
    )
