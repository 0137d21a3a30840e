"""The model card as Markdown and as a page."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.browser import check_accessibility

from marvel_kedro.core import page
from marvel_kedro.model import model_card
from marvel_kedro.model.options import EvaluationOptions, FitOptions, GateOptions, TrainingOptions

PROMOTION = {
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
}
TABLES = {
    name: {"digest": "d1", "rows": 10, "data_source": "synthetic"}
    for name in ("train_set", "test_set")
}
OPTIONS = TrainingOptions(
    trained_at=datetime(2026, 1, 1, tzinfo=UTC),
    origin={},
    fit=FitOptions(),
    evaluation=EvaluationOptions(),
    gate=GateOptions(),
)


def card(measured: pd.DataFrame, **promotion: Any) -> str:
    return model_card.render_markdown(PROMOTION | promotion, TABLES, measured, OPTIONS)


def test_card_states_metrics_checks_and_provenance(measured: pd.DataFrame) -> None:
    text = card(measured)
    overall = measured[measured["slice_key"].isna() & (measured["model"] == "candidate")]
    for value in overall["value"]:
        assert f"{value:.3f}" in text
    for part in (
        "version 3",
        "Public",
        "roc_auc",
        "0.7000",
        "d1",
        "synthetic",
        "| Trained | 2026-01-01 00:00 UTC |",
        "| learning_rate | 0.05 |",
        "at least 0.5",
        "not from a git checkout",
    ):
        assert part.lower() in text.lower(), part


def test_parameter_with_pipe_is_escaped(
    measured: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FitOptions, "model_dump", lambda _: {"odd": "a|b"})
    assert r"| odd | a\|b |" in card(measured)


def test_page_loads_nothing_and_escapes_text(measured: pd.DataFrame) -> None:
    figures: dict[str, Any] = {name: Figure((1, 1)) for name in model_card.PLOTS}
    found = page.render(card(measured), figures)
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
def test_card_states_verdict_on_model(
    measured: pd.DataFrame, promotion: dict[str, Any], verdict: str
) -> None:
    assert verdict in card(measured, **promotion)


@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1280)])
def test_card_is_accessible(
    measured: pd.DataFrame, scheme: str, width: int, tmp_path: Path
) -> None:
    text = card(measured, promoted=False)
    figures = {name: Figure((4, 3)) for name in model_card.PLOTS}
    check_accessibility(page.render(text, figures), tmp_path, scheme, width)
