"""Baselines, plots and the model card."""

import dataclasses
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy.stats import binomtest

from marvel_kedro.core import page
from marvel_kedro.model import baselines, evaluation, model_card, plots
from marvel_kedro.model.options import EvaluationOptions
from marvel_kedro.model.portable.predictor import CharacterModel

MODELS = ("candidate", "logistic_regression", "always_alive")


@pytest.fixture(scope="module")
def scores(characters: pd.DataFrame, model: CharacterModel) -> pd.DataFrame:
    train, test = characters.iloc[:2000], characters.iloc[2000:]
    return evaluation.slices(test).assign(
        alive=test["alive"] == "Alive",
        candidate=model.probabilities(test),
        logistic_regression=baselines.logistic_regression(train, test),
        always_alive=baselines.always_alive(train),
    )


@pytest.fixture(scope="module")
def measured(scores: pd.DataFrame) -> pd.DataFrame:
    return evaluation.evaluate(
        scores["alive"].to_numpy(),
        {name: scores[name].to_numpy() for name in MODELS},
        scores[list(evaluation.SLICES)],
        EvaluationOptions(resamples=50),
        0.5,
    )


@pytest.fixture(scope="module")
def facts() -> model_card.Facts:
    return model_card.Facts(
        promotion={
            "promoted": True,
            "reason": "It passed <every> check",
            "model_name": "marvel_characters",
            "model_version": "3",
            "previous_champion": "2",
            "model_digest": "abc",
            "run_id": "r1",
            "data_source": "synthetic",
            "tested_on": "retraining_test_set",
            "checks": [
                {
                    "check": "roc_auc",
                    "value": 0.7,
                    "threshold": 0.55,
                    "passed": True,
                    "detail": "at least",
                }
            ],
        },
        tables={
            name: {"digest": "d1", "rows": 10, "data_source": "synthetic"}
            for name in ("train_set", "test_set")
        },
        parameters={"seed": 42, "odd": "a|b"},
        threshold=0.5,
        confidence=0.95,
        trained_at="2026-01-01 00:00 UTC",
        git_sha=None,
    )


def test_always_alive_is_the_share(characters: pd.DataFrame) -> None:
    assert baselines.always_alive(characters) == (characters["alive"] == "Alive").mean()


def test_logistic_regression_takes_empty_columns(characters: pd.DataFrame) -> None:
    bare = characters.assign(height=np.nan, weight=np.nan, teams=None, origin=None)
    found = baselines.logistic_regression(bare.iloc[:500], bare.iloc[500:600])
    assert found.shape == (100,)
    assert ((found > 0) & (found < 1)).all()


def test_wilson_intervals_are_scipys() -> None:
    low, high = plots._wilson(np.array([0.0, 0.3, 1.0]), np.array([5, 40, 7]))
    for number, (hits, rows) in enumerate(((0, 5), (12, 40), (7, 7))):
        expected = binomtest(hits, rows).proportion_ci(0.95, "wilson")
        assert low[number] == pytest.approx(expected.low, abs=1e-4)
        assert high[number] == pytest.approx(expected.high, abs=1e-4)


def test_plots_show_every_model_and_say_what_they_found(
    scores: pd.DataFrame, measured: pd.DataFrame, model: CharacterModel
) -> None:
    roc = plots.draw_roc(scores, measured)
    drawn = roc.axes[0].get_legend()
    assert drawn
    legend = [text.get_text() for text in drawn.get_texts()]
    assert [re.sub(r"  .*", "", text) for text in legend] == [evaluation.MODELS[m] for m in MODELS]
    titles = [
        figure.axes[0].get_title(loc="left")
        for figure in (
            roc,
            plots.draw_calibration(scores, measured, 10),
            plots.draw_confusion(scores, 0.5),
            plots.draw_importance(model.importances()),
        )
    ]
    assert all(titles)


def test_the_confusion_plot_counts_rows(scores: pd.DataFrame) -> None:
    texts = [text.get_text() for text in plots.draw_confusion(scores, 0.5).axes[0].texts]
    assert sum(int(text.split("\n")[0].replace(",", "")) for text in texts) == len(scores)


def test_the_card_states_figures_checks_and_provenance(
    facts: model_card.Facts, measured: pd.DataFrame
) -> None:
    card = model_card.render_markdown(facts, measured)
    overall = measured[measured["slice_key"].isna() & (measured["model"] == "candidate")]
    for value in overall["value"]:
        assert f"{value:.3f}" in card
    for part in ("version 3", "Public", "roc_auc", "0.7000", "d1", r"a\|b", "synthetic"):
        assert part.lower() in card.lower(), part


def test_the_page_needs_nothing_else_and_escapes(
    facts: model_card.Facts, measured: pd.DataFrame
) -> None:
    figures: dict[str, Any] = {name: Figure((1, 1)) for name in model_card.PLOTS}
    found = page.render(model_card.render_markdown(facts, measured), figures)
    assert found.count("data:image/png;base64,") == len(figures)
    assert not re.search(r'(src|href)="(?!data:|#|https://)', found)
    assert "<title>Model card: marvel_characters</title>" in found
    assert "<script" not in found
    assert "&lt;every&gt;" in found
    assert "<every>" not in found


@pytest.mark.parametrize(
    ("promotion", "verdict"),
    [
        ({"promoted": True}, "**Champion.** Version 3 was promoted."),
        ({"promoted": False}, "**Not promoted.**"),
        ({"promoted": False, "previous_champion": "3"}, "**Champion already.**"),
        ({"promoted": False, "model_version": None}, "**Not promoted.**"),
    ],
)
def test_the_card_says_what_became_of_the_model(
    facts: model_card.Facts,
    measured: pd.DataFrame,
    promotion: dict[str, Any],
    verdict: str,
) -> None:
    told = dataclasses.replace(facts, promotion=facts.promotion | promotion)
    assert verdict in model_card.render_markdown(told, measured)
