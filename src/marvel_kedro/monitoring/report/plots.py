"""The figures of the report that are plots by themselves, for MLflow and kedro-viz."""

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

from marvel_kedro.model.plots import INK, plain, title
from marvel_kedro.monitoring.report import formatting
from marvel_kedro.monitoring.report.data import QUALITY, Facts, Quality
from marvel_kedro.monitoring.report.figures import level
from marvel_kedro.monitoring.report.formatting import NAMES

_ESTIMATED, _REALISED = "#0072B2", "#D55E00"  # Okabe and Ito's, as in the other plots
_HALF = 0.5
_FADED = 0.15  # how much of its colour a cell keeps that may be chance
_MOST_NUMBERS = 16  # windows, above which numbers in the cells would touch


def draw_drift(facts: Facts) -> Figure:
    """How far each column is from the baseline, by window; the version with the most records."""
    if not facts.versions:
        return _nothing("No model version has scored a record in a complete window")
    version = facts.versions[0]
    strength = np.array(
        [
            [
                np.nan if cell is None or cell.strength is None else cell.strength
                for cell in row.cells
            ]
            for row in version.columns
        ]
    )
    figure = Figure(figsize=(8.4, 1.2 + 0.36 * len(version.columns)), layout="constrained")
    axes = figure.subplots()
    clear = np.array([[level(cell) > 0 for cell in row.cells] for row in version.columns])
    image = axes.imshow(
        strength, cmap="YlOrBr", vmin=0, vmax=1, aspect="auto", alpha=np.where(clear, 1.0, _FADED)
    )
    figure.colorbar(image, ax=axes, label="distance from the baseline", shrink=0.8)
    for (row, column), value in np.ndenumerate(strength):
        if len(facts.windows) > _MOST_NUMBERS or np.isnan(value):
            continue
        axes.text(
            column,
            row,
            f"{value:.2f}".removeprefix("0"),
            ha="center",
            va="center",
            fontsize=8,
            color="white" if value > _HALF and clear[row, column] else INK,
            fontweight="bold" if clear[row, column] else "normal",
        )
    step = max(1, len(facts.windows) // 8)
    places = list(range(0, len(facts.windows), step))
    axes.set_xticks(places, [formatting.day(facts.windows[place].start) for place in places])
    axes.set_yticks(range(len(version.columns)), [column.name for column in version.columns])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    newest = facts.windows.index(version.newest)
    drifting = int(clear[:, newest].sum())
    axes.set_title(
        f"Version {version.name}: {formatting.number_of(drifting, 'column')} "
        f"{'is' if drifting == 1 else 'are'} further from the baseline than chance explains (bold)",
        loc="left",
        color=INK,
        fontsize=11,
        fontweight="bold",
    )
    return figure


def draw_quality(facts: Facts) -> Figure:
    """Estimated and realised quality over time; a row a version, a column a metric."""
    if not facts.versions:
        return _nothing("No model version has scored a record in a complete window")
    rows = len(facts.versions)
    figure = Figure(figsize=(10.8, 0.6 + 2.5 * rows), layout="constrained")
    starts = np.array([span.start for span in facts.windows], dtype=object)
    for row, version in zip(
        figure.subplots(rows, len(QUALITY), squeeze=False, sharex=True), facts.versions, strict=True
    ):
        for axes, metric in zip(row, QUALITY, strict=True):
            found = [one or Quality() for one in version.quality[metric]]
            estimate, low, high, realised, baseline = (
                np.array([getattr(one, name) for one in found], np.float64)
                for name in ("estimate", "low", "high", "realised", "baseline")
            )
            axes.fill_between(starts, low, high, color=_ESTIMATED, alpha=0.2, lw=0)
            axes.plot(starts, estimate, color=_ESTIMATED, marker="o", ms=3, label="estimated")
            axes.plot(
                starts, realised, color=_REALISED, marker="D", ms=3, ls="--", label="from labels"
            )
            axes.plot(starts, baseline, color=INK, ls=":", label="baseline")
            locator = AutoDateLocator(minticks=2, maxticks=5)  # type: ignore[no-untyped-call]
            axes.xaxis.set_major_locator(locator)
            axes.xaxis.set_major_formatter(
                ConciseDateFormatter(locator)  # type: ignore[no-untyped-call]
            )
            plain(axes)
            title(axes, f"{NAMES[metric]}, version {version.name}")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside lower center", ncols=3)
    return figure


def _nothing(said: str) -> Figure:
    figure = Figure(figsize=(7.6, 1.6), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    axes.text(0, _HALF, said, color=INK, fontsize=12, va="center")
    return figure
