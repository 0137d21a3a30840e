"""Plots of an A/B test."""

import pandas as pd
import pytest
from matplotlib.collections import LineCollection

from marvel_kedro.monitoring.ab_test import plots


def test_plot_of_one_day_shows_that_day_and_its_bounds() -> None:
    day = {"day": "2026-01-05", "gain": 0.02, "low": -0.01, "high": 0.05}
    history = pd.DataFrame([{"metric": "log_loss", "entity": "challenger"} | day])
    (axes,) = plots.draw_gain(history).axes
    first, last = axes.get_xlim()
    assert last - first == pytest.approx(1)  # days
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Jan 5"]
    (bounds,) = [one for one in axes.collections if isinstance(one, LineCollection)]
    ((start, end),) = bounds.get_segments()
    assert (start[1], end[1]) == (-0.01, 0.05)
    bottom, top = axes.get_ylim()
    assert bottom < -0.01 < 0.05 < top


def test_bars_of_one_day_are_no_wider_than_the_day() -> None:
    traffic = pd.DataFrame({"champion": [300]}, index=pd.to_datetime(["2026-01-05"]))
    (axes,) = plots.draw_traffic(traffic).axes
    first, last = axes.get_xlim()
    assert last - first == pytest.approx(1)
