"""The model card as Markdown and as a page."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from matplotlib.figure import Figure
from support.browser import check_accessibility
from support.project import Project
from support.table import TABLE

from marvel_kedro.core import page
from marvel_kedro.datasets.mlflow import RegisteredModelDataset
from marvel_kedro.model import evaluation, model_card, plots
from marvel_kedro.model.aliases import move_alias
from marvel_kedro.model.card_status import CARDS
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
    name: {"digest": "d1", "rows": 10, "positive": 7, "data_source": "synthetic"}
    for name in ("train_set", "test_set")
}
MODEL = "marvel_characters"
Status = Callable[[str], str]
OPTIONS = TrainingOptions(
    trained_at=datetime(2026, 1, 1, tzinfo=UTC),
    origin={},
    fit=FitOptions(),
    evaluation=EvaluationOptions(),
    gate=GateOptions(),
)


def card(measured: pd.DataFrame, **promotion: Any) -> str:
    return model_card.render_markdown(PROMOTION | promotion, TABLES, measured, 0.5, TABLE, OPTIONS)


def test_card_states_metrics_checks_and_provenance(measured: pd.DataFrame) -> None:
    text = card(measured)
    assert "for every test row" not in text
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


@pytest.mark.parametrize("answer", ["Alive", "Dead"])
@pytest.mark.parametrize("labels", ["one class", "two classes"])
def test_one_class_is_said_and_void_measures_are_hidden(
    scores: pd.DataFrame, answer: str, labels: str
) -> None:
    one = labels == "one class"
    rows = scores[scores["alive"]] if one else scores
    rows = rows.assign(candidate=(0.6 if answer == "Alive" else 0.1) + rows["candidate"] / 4)
    found = evaluation.evaluate(
        rows["alive"].to_numpy(),
        {name: rows[name].to_numpy() for name in ("candidate", "constant")},
        rows[list(TABLE.slices_by_name)],
        EvaluationOptions(resamples=20),
        0.5,
    )
    text = card(found)
    assert text.count(f"The candidate predicts {answer} for every test row") == 1
    assert f"its accuracy, {(rows['alive'] == (answer == 'Alive')).mean():.1%}" in text
    assert "| F1 |" not in text
    assert "confusion.png" not in text
    assert ("All test labels are Alive: there is no ROC AUC." in text) == one
    assert ("| ROC AUC |" in text.split("## Slices")[0]) != one
    assert ("roc.png" in text) != one
    title = plots.draw_roc(rows, found, TABLE).axes[0].get_title("left")
    assert title.startswith("No ROC curve") == one


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
        ({"promoted": False, "alias": "challenger"}, "**Challenger.** Version 3 is tested"),
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


@pytest.fixture
def card_status(project: Project, measured: pd.DataFrame) -> Status:
    """Register two versions with cards; the second card is also the project's newest one."""
    client = project.client()
    mlflow.set_tracking_uri(client.tracking_uri)
    client.create_registered_model(MODEL)
    experiment = client.create_experiment("cards")
    runs = {}
    for number in ("1", "2"):
        run = client.create_run(experiment).info.run_id
        text = card(measured, model_version=number, promoted=False, previous_champion=None)
        for name, content in zip(CARDS, (text, page.render(text, {})), strict=True):
            path = project.path / "data/08_reporting" / name
            path.write_text(content)
            client.log_artifact(run, str(path))
        client.create_model_version(MODEL, "nowhere", run)
        runs[number] = run

    def read(number: str) -> str:
        folder = Path(client.download_artifacts(runs[number], ""))
        markdown, html = ((folder / name).read_text() for name in CARDS)
        assert markdown.splitlines()[3:] == text.splitlines()[3:] or number == "1"
        status = markdown.splitlines()[2]
        assert status.replace("**", "") in html.replace("<strong>", "").replace("</strong>", "")
        return status

    return read


def update(project: Project) -> None:
    outcome = project.cli("--pipelines", "reporting", "--nodes", "update_cards")
    assert outcome.status == 0, outcome.output


def test_cards_follow_the_registry(project: Project, card_status: Status) -> None:
    assert card_status("2") == "**Not promoted.**"
    champion = RegisteredModelDataset(MODEL, "champion")
    champion.save({"champion": "1"})
    assert card_status("1").startswith("**Champion.** Version 1 was promoted on 2")
    assert card_status("1").endswith(" UTC by the promotion gate.")
    champion.save({"challenger": "2"})
    assert card_status("2").startswith("**Challenger.** Version 2 is tested against the champion")
    then = datetime(2099, 1, 31, 12, tzinfo=UTC)
    move_alias(MODEL, "champion", "2", decision="the A/B test: version 2 is better", at=then)
    update(project)
    expected = (
        "**Champion.** Version 2 was promoted on 2099-01-31 12:00 UTC by the A/B test: version "
        "2 is better."
    )
    assert card_status("2") == expected
    assert expected in (project.path / "data/08_reporting/model_card.md").read_text()
    assert "better.</p>" in (project.path / "data/08_reporting/model_card.html").read_text()
    assert card_status("1").startswith("**Retired.** Version 1 was promoted on 2")
    assert card_status("1").endswith("; version 2 is the champion since 2099-01-31 12:00 UTC.")

    # An alias that MLflow's client moves has no time.
    client = project.client()
    client.set_registered_model_alias(MODEL, "champion", "1")
    update(project)
    assert card_status("1").startswith("**Champion.** Version 1 was promoted on 2")
    assert card_status("2").startswith("**Retired.** Version 2 was promoted on 2099")
    assert card_status("2").endswith("; version 1 is the champion.")
    client.delete_registered_model_alias(MODEL, "champion")
    update(project)
    assert card_status("1").endswith("; no version is the champion.")
