"""Training on tables of other kinds: measured, judged, described and promoted by default."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_breast_cancer
from support.churn import CHURN, customers
from support.project import Project

SMALL = "training.fit.folds=3,training.evaluation.resamples=30,training.gate.resamples=200"


def adopt(project: Project, table: dict[str, Any], rows: pd.DataFrame) -> None:
    """Describe a table and bring its file, as `kedro adopt` would."""
    path = project.path / "conf" / "base" / "table.yml"
    path.write_text(yaml.safe_dump({"table": table}))
    rows.to_csv(project.raw.with_name(table["file"]), index=False)


def churn() -> tuple[dict[str, Any], pd.DataFrame]:
    sources = {name: source for source, name in CHURN.sources.items()}
    rows = customers(1600).rename(columns=sources)
    return CHURN.model_dump(mode="json", exclude_defaults=True), rows


def tumours() -> tuple[dict[str, Any], pd.DataFrame]:
    """Numbers only; the class is a number, too, and the positive one is the smaller number."""
    found = load_breast_cancer(as_frame=True)
    frame = found.frame.rename(columns=lambda name: name.replace(" ", "_"))
    rows = frame.assign(patient=np.arange(len(frame)))
    kinds = dict.fromkeys(rows, "number") | {"patient": "id", "target": "category"}
    table = {
        "name": "tumours",
        "file": "tumours.csv",
        "key": "patient",
        "target": {"column": "target", "positive": 0, "negative": 1},
        "columns": {name: {"kind": kind} for name, kind in kinds.items()},
    }
    return table, rows


def fraud() -> tuple[dict[str, Any], pd.DataFrame]:
    """One per cent of the rows are positive; neither category nor Boolean."""
    draw = np.random.default_rng(4)
    amount, age = draw.lognormal(3, 1, 20_000), draw.normal(0, 1, 20_000)
    logit = 1.5 * age + np.log(amount) - 9.5
    rows = pd.DataFrame(
        {
            "payment": np.arange(20_000),
            "amount": amount.round(2),
            "age": age.round(3),
            "class_name": np.where(draw.random(20_000) < 1 / (1 + np.exp(-logit)), "fraud", "fine"),
        }
    )
    assert 0.005 < (rows["class_name"] == "fraud").mean() < 0.02
    table = {
        "name": "fraud",
        "file": "payments.csv",
        "row": {"one": "payment", "many": "payments"},
        "key": "payment",
        "target": {"column": "class_name", "positive": "fraud"},
        "columns": {
            "payment": {"kind": "id"},
            "amount": {"kind": "number"},
            "age": {"kind": "number"},
            "class_name": {"kind": "category"},
        },
    }
    return table, rows


@pytest.mark.parametrize("make", [churn, tumours, fraud], ids=lambda make: make.__name__)
def test_model_of_another_table_is_promoted_by_default(
    project: Project, make: Callable[[], tuple[dict[str, Any], pd.DataFrame]]
) -> None:
    table, rows = make()
    adopt(project, table, rows)
    outcome = project.cli("--pipelines", "processing,training", "--params", SMALL)
    assert outcome.status == 0, outcome.output
    promotion = project.report("promotion")
    assert promotion["promoted"], promotion["reason"]
    checks = {check["check"] for check in promotion["checks"]}
    assert checks == {"constant_gain", "regression_gain", "calibration_error"}
    card = (project.path / "data/08_reporting/model_card.md").read_text()
    target = table["target"]
    for words in (f"| {table['key']} |", f"{target['positive']} (the positive class)"):
        assert words in card or words.startswith("| ")
    for name, column in table["columns"].items():
        assert (f"| {name} | {column['kind']} |" in card) == (
            name not in {table["key"], target["column"]}
        )
    assert not re.search(r"marvel(?!_kedro)|alive|\bdead\b|character|earth", card, re.IGNORECASE)
    shown = outcome.output.replace("marvel_kedro", "")
    assert not re.search(r"marvel|alive|\bdead\b|character|earth", shown, re.IGNORECASE)
    scores = project.table("test_scores")
    assert (scores["constant"] - scores[target["column"]].mean()).abs().max() < 0.05


def test_labels_by_chance_are_refused_with_one_reason(project: Project) -> None:
    table, rows = churn()
    shuffled = rows["Churned"].sample(frac=1, random_state=1).to_numpy()
    adopt(project, table, rows.assign(Churned=shuffled))
    outcome = project.cli("--pipelines", "processing,training", "--params", SMALL)
    assert outcome.status == 0, outcome.output
    promotion = project.report("promotion")
    assert promotion["reason"].startswith("Failed: constant_gain -")
    assert (promotion["promoted"], promotion["model_version"]) == (False, None)


def test_old_results_and_a_changed_question_do_not_end_a_run(project: Project) -> None:
    """Yes and No change sides: the champion predicts the other class."""
    table, rows = churn()
    adopt(project, table, rows)
    outcome = project.cli("--pipelines", "processing,training", "--params", SMALL)
    assert outcome.status == 0, outcome.output
    path = next(project.path.glob("data/*/test_scores.parquet"))
    project.table("test_scores").rename(columns={"constant": "always_alive"}).to_parquet(path)
    adopt(project, table | {"target": {"column": "churned", "positive": "No"}}, rows)
    outcome = project.cli("--pipelines", "processing,training", "--params", SMALL)
    assert outcome.status == 0, outcome.output
    outcome = project.cli("--pipelines", "serving", "--nodes", "score_records")
    assert outcome.status == 0, outcome.output
    promotion = project.report("promotion")
    assert (promotion["promoted"], promotion["previous_champion"]) == (True, "1")
    assert "it predicts churned (Yes or No), not churned (No or not No)" in promotion["reason"]
    assert set(project.table("predictions")["prediction"]) == {"No", "not No"}
