"""Plots of drift and performance for MLflow and kedro-viz."""

import numpy as np
from matplotlib.figure import Figure

from marvel_kedro.model.plots import INK, plain, title
from marvel_kedro.monitoring.ab_test.plots import date_axis
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.data import METRICS, ReportData
from marvel_kedro.monitoring.report.drift_figures import level

_ESTIMATED, _REALISED = "#0072B2", "#D55E00"  # Okabe and Ito's, as in the other plots
_HALF = 0.5
_FADED = 0.15  # opacity of a cell that may be due to chance
_MAX_NUMBERED = 16  # with more windows, numbers in the cells would touch
_MAX_LABELLED = 3  # windows whose names fit below a plot
_NO_VERSION = "No model version has scored a record yet"


def draw_drift(data: ReportData) -> Figure:
    """Draw drift beyond chance by column and window, for the version with the most records."""
    if not data.versions:
        return _text_only(_NO_VERSION)
    version = data.versions[0]
    distance = np.array(
        [[drift.excess if drift else None for drift in row.drifts] for row in version.columns],
        dtype=np.float64,
    )
    significant = np.array([[level(drift) > 0 for drift in row.drifts] for row in version.columns])
    figure = Figure(figsize=(8.4, 1.2 + 0.36 * len(version.columns)), layout="constrained")
    axes = figure.subplots()
    opacity = np.where(significant, 1.0, _FADED)
    image = axes.imshow(distance, cmap="YlOrBr", vmin=0, vmax=1, aspect="auto", alpha=opacity)
    figure.colorbar(image, ax=axes, label="distance from the baseline beyond chance", shrink=0.8)
    for (row, column), value in np.ndenumerate(distance):
        if len(data.windows) > _MAX_NUMBERED or np.isnan(value):
            continue
        bold = significant[row, column]
        colour, weight = "white" if value > _HALF and bold else INK, "bold" if bold else "normal"
        text = axes.text(column, row, f"{value:.2f}".removeprefix("0"), ha="center", va="center")
        text.set(fontsize=8, color=colour, fontweight=weight)
    places = range(0, len(data.windows), max(1, len(data.windows) // 8))
    axes.set_xticks(places, [fmt.day(data.windows[place].start, data.running) for place in places])
    axes.set_yticks(range(len(version.columns)), [column.name for column in version.columns])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    drifting = fmt.number_of(sum(level(column.newest) > 0 for column in version.columns), "column")
    finding = f"{drifting} with significant drift (bold) in window {fmt.window(version.newest)}"
    heading = f"Version {version.name}: {finding}"
    axes.set_title(heading, loc="left", color=INK, fontsize=11, fontweight="bold")
    return figure


def draw_performance(data: ReportData) -> Figure:
    """Draw estimated and realised performance over time: a row a version, a column a metric."""
    if not data.versions:
        return _text_only(_NO_VERSION)
    rows = len(data.versions)
    figure = Figure(figsize=(10.8, 0.6 + 2.5 * rows), layout="constrained")
    starts = np.array([window.start for window in data.windows], dtype=object)
    single = len(starts) == 1  # a line or an area needs two points
    half = (data.windows[-1].end - data.windows[-1].start) / 2
    grid = figure.subplots(rows, len(METRICS), squeeze=False, sharex=True)
    for row, version in zip(grid, data.versions, strict=True):
        for axes, metric in zip(row, METRICS, strict=True):
            estimate, low, high, realised, baseline = (
                np.array([getattr(one, name) for one in version.performance[metric]], np.float64)
                for name in ("estimate", "low", "high", "realised", "baseline")
            )
            axes.fill_between(starts, low, high, color=_ESTIMATED, alpha=0.2, lw=0)
            axes.vlines(starts, low, high, color=_ESTIMATED, alpha=0.3, lw=2 * single)
            axes.plot(starts, estimate, color=_ESTIMATED, marker="o", ms=3, label="estimated")
            axes.plot(
                starts, realised, color=_REALISED, marker="D", ms=3, ls="--", label="from labels"
            )
            axes.plot(
                starts,
                baseline,
                color=INK,
                ls=":",
                marker="_" if single else "",
                ms=24,
                label="baseline",
            )
            date_axis(axes, 5)
            axes.set_xlim(starts[0] - half, starts[-1] + half)
            if len(starts) <= _MAX_LABELLED:  # else matplotlib would label hours
                axes.set_xticks(starts, [fmt.day(start, data.running) for start in starts])
            if data.running:
                axes.axvspan(starts[-1] - half, starts[-1] + half, color="#eeeeee", lw=0, zorder=0)
            plain(axes)
            title(axes, f"{fmt.NAMES[metric]}, version {version.name}")
    if data.running:
        note = f"{fmt.window(data.running)}: the window is still running"
        figure.suptitle(note, x=0.01, ha="left", color=INK, fontsize=9)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=3)
    return figure


def _text_only(text: str) -> Figure:
    figure = Figure(figsize=(7.6, 1.6), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    axes.text(0, _HALF, text, color=INK, fontsize=12, va="center")
    return figure
