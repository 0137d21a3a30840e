"""Plots of an A/B test: traffic by day, and the gain over the champion by day."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from marvel_kedro.core.rounding import rounded
from marvel_kedro.model.plots import INK, plain, title
from marvel_kedro.monitoring.ab_test.comparison import GAINS

# Okabe and Ito's colours, as in the plots of `training`: the champion's green first.
COLOURS = ("#009E73", "#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
_MAX_TICKS = 8
_WIDTHS_SHOWN = 4.0  # height of the plot in widths of the last interval


def draw_traffic(traffic: pd.DataFrame) -> Figure:
    """Draw the requests a day by entity as stacked bars, the champion at the bottom."""
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
    _day_axis(axes, pd.to_datetime(traffic.index))
    plain(axes)
    share = traffic.iloc[:, 0].sum() / max(below.sum(), 1)
    title(axes, f"{rounded(share, '.0%')} of the requests went to {traffic.columns[0]}")
    return figure


def draw_gain(history: pd.DataFrame) -> Figure:
    """Draw the gain over the champion with its bounds as of the end of each day."""
    decisive = history[history["metric"] == GAINS[0]]
    entities = list(decisive["entity"].unique())
    figure = Figure(figsize=(7.6, 3.6 * len(entities)), layout="constrained")
    all_axes = np.atleast_1d(figure.subplots(len(entities), 1, sharex=True))
    for number, (axes, entity) in enumerate(zip(all_axes, entities, strict=True), 1):
        rows = decisive[decisive["entity"] == entity]
        rows = rows[np.isfinite(rows["low"]) & np.isfinite(rows["high"])]
        colour = COLOURS[number % len(COLOURS)]
        days = pd.to_datetime(rows["day"])
        axes.axhline(0, color=INK, lw=1)
        axes.fill_between(days, rows["low"], rows["high"], color=colour, alpha=0.25, lw=0)
        axes.vlines(days, rows["low"], rows["high"], color=colour, alpha=0.5, lw=2)
        axes.plot(days, rows["gain"], color=colour, lw=2, marker="o", ms=4)
        axes.set(ylabel="Gain in log loss")
        _day_axis(axes, pd.DatetimeIndex(days))
        plain(axes)
        if rows.empty:
            title(axes, f"Too few labels to compare {entity}")
            continue
        low, high = rows[["low", "high"]].iloc[-1]
        # The wide bounds of the first days would flatten all later ones.
        reach, middle = _WIDTHS_SHOWN * (high - low) / 2, (high + low) / 2
        lowest, highest = min(0, middle - reach), max(0, middle + reach)
        bottom, top = max(lowest, rows["low"].min()), min(highest, rows["high"].max())
        room = (top - bottom) / 20
        axes.set_ylim(bottom - room, top + room)
        title(axes, _finding(low, high, str(entity)))
    return figure


def _day_axis(axes: Axes, days: pd.DatetimeIndex) -> None:
    """Label the x axis with days, and give the first and the last one room."""
    date_axis(axes, _MAX_TICKS)
    if len(days):
        half = pd.Timedelta(hours=12)
        axes.set_xlim(days.min() - half, days.max() + half)  # type: ignore[arg-type] # dates
    if 0 < len(days) <= _MAX_TICKS:  # else matplotlib would label hours
        axes.set_xticks(days, [f"{day:%b} {day.day}" for day in days])


def date_axis(axes: Axes, max_ticks: int) -> None:
    """Label the x axis with dates."""
    locator = AutoDateLocator(minticks=2, maxticks=max_ticks)  # type: ignore[no-untyped-call]
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]


def _finding(low: float, high: float, entity: str) -> str:
    if low > 0:
        return f"{entity} is better: its bounds are above 0"
    if high < 0:
        return f"{entity} is worse: its bounds are below 0"
    return f"{entity}: the difference may still be 0"
