"""The plots of a training."""

import re

import pandas as pd
import pytest
from scipy.stats import binomtest
from support.table import TABLE

from marvel_kedro.model import evaluation, plots
from marvel_kedro.model.portable.predictor import TabularModel


def test_wilson_intervals_equal_those_of_scipy() -> None:
    low, high = plots._wilson(pd.Series([0, 12, 7]), pd.Series([5, 40, 7]))
    for number, (hits, rows) in enumerate(((0, 5), (12, 40), (7, 7))):
        expected = binomtest(hits, rows).proportion_ci(0.95, "wilson")
        assert low[number] == pytest.approx(expected.low, abs=1e-4)
        assert high[number] == pytest.approx(expected.high, abs=1e-4)


def test_plots_show_every_model_and_have_titles(
    scores: pd.DataFrame, measured: pd.DataFrame, model: TabularModel
) -> None:
    figures = plots.draw_all(scores, measured, model, TABLE, 10)
    assert list(figures) == ["roc", "calibration", "confusion", "importance"]
    drawn = figures["roc"].axes[0].get_legend()
    assert drawn
    legend = [re.sub(r"  .*", "", text.get_text()) for text in drawn.get_texts()]
    titles = evaluation.titles(scores["constant"].mean())
    assert legend == [titles[name] for name in measured["model"].unique()]
    assert len(legend) == 3
    assert all(figure.axes[0].get_title(loc="left") for figure in figures.values())


def test_confusion_plot_counts_every_row(scores: pd.DataFrame) -> None:
    texts = [text.get_text() for text in plots.draw_confusion(scores, 0.5, TABLE).axes[0].texts]
    assert sum(int(text.split("\n")[0].replace(",", "")) for text in texts) == len(scores)


def test_titles_of_long_classes_are_within_the_figure(
    scores: pd.DataFrame, measured: pd.DataFrame, model: TabularModel
) -> None:
    positive, other = TABLE.target.positive, TABLE.target.other
    long = {positive: "Deceased Characters of the wiki", other: "Living Characters of the wiki"}
    target = {"column": TABLE.target.column, "positive": long[positive], "negative": long[other]}
    table = TABLE.model_validate(TABLE.model_dump() | {"target": target})
    renamed = scores.replace({table.target.column: long})
    for figure in plots.draw_all(renamed, measured, model, table, 10).values():
        figure.draw_without_rendering()
        box = figure.get_tightbbox()  # in inches
        assert min(box.x0, box.y0) >= 0
        assert box.x1 <= figure.get_figwidth()
        assert box.y1 <= figure.get_figheight()
