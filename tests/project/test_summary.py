"""The summary of a run: no colours without a terminal, complete in 80 columns."""

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import Pipeline, node
from kedro_datasets.text import TextDataset
from rich.console import Console
from support.table import TABLE

from marvel_kedro.monitoring import tables
from marvel_kedro.project import summary

QUALITY = {
    "rows_in": 10,
    "rows_kept": 8,
    "rows_rejected": 2,
    "rejected": {"no page id": 2},
    "unusable": {"height": 0, "weight": 3},
}
PROMOTION = {
    "promoted": True,
    "previous_champion": "2",
    "model_version": "3",
    "reason": "Better than the champion",
    "data_source": "synthetic",
}
EVALUATION = pd.DataFrame(
    [
        (model, None, None, 1234, metric, 0.7123, 0.6891, 0.7355)
        for model in ("candidate", "champion", "logistic_regression", "constant")
        for metric in summary.METRICS
    ],
    columns=["model", "slice_key", "slice_value", "rows", "metric", "value", "low", "high"],
)
PREDICTIONS = pd.DataFrame({"prediction": ["Alive", "Dead"], "model_version": "3"})
MADE = {
    "data_quality": QUALITY,
    "promotion": PROMOTION,
    "evaluation": EVALUATION,
    "predictions": PREDICTIONS,
    "params:table": TABLE,
    "model_card": "",
}


CARD = Path.cwd() / "data" / "08_reporting" / "model_card.html"


def shown(names: list[str], *, terminal: bool, width: int = 80) -> str:
    def nothing() -> Any:
        return None

    pipeline = Pipeline([node(nothing, None, name, name=name) for name in names if ":" not in name])
    catalog = DataCatalog(
        {name: MemoryDataset(value) for name, value in MADE.items()}
        | {"model_card": TextDataset(filepath=str(CARD))}
    )
    stream = io.StringIO()
    summary.show(pipeline, catalog, Console(file=stream, force_terminal=terminal, width=width))
    return stream.getvalue()


def test_summary_has_results_and_next_steps_in_80_columns() -> None:
    text = shown(list(MADE), terminal=False)
    assert "\x1b" not in text
    assert "…" not in text
    for part in (
        "10 rows in, 8 kept, 2 rejected (2 no page id)",
        "1,234 test rows",
        "0.712",
        "0.689-0.736",
        "version 3 is the champion",
        "2 characters scored by version 3, 50% Alive",
        "data/08_reporting/model_card.html",
        "make viz",
        "Synthetic data",
    ):
        assert part in text, part


def test_colours_are_used_only_in_a_terminal() -> None:
    assert re.search(r"\x1b\[", shown(list(MADE), terminal=True))


@pytest.mark.parametrize("width", [40, 60, 80, 84, 200])
def test_paths_fold_in_narrow_terminals_and_nothing_is_cut(
    width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = Path("/srv/a folder with a long name/of-someone/data/08_reporting/model_card.html")
    monkeypatch.setitem(globals(), "CARD", card)
    rule = "a_rule_with_a_name_of_more_than_seventy_characters_" + "x" * 30
    alert = {"state": "open", "severity": "warning", "rule": rule, "message": "it fires"}
    monkeypatch.setitem(MADE, "alerts", pa.Table.from_pylist([alert], tables.ALERTS))
    text = shown(list(MADE), terminal=False, width=width)
    assert "…" not in text
    joined = re.sub(r"[│\s]", "", text)
    assert str(card).replace(" ", "") in joined
    assert rule in joined
    assert "0.689-0.736" in text


def test_share_reads_as_all_or_none_only_if_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    predictions = pd.DataFrame(
        {"prediction": ["Alive"] * 5982 + ["Dead"] * 18, "model_version": "1"}
    )
    monkeypatch.setitem(MADE, "predictions", predictions)
    assert "version 1, >99% Alive" in shown(["predictions"], terminal=False)
    start = datetime(2026, 1, 5, tzinfo=UTC)
    window = {"start": start, "end": start + timedelta(days=1)}
    row = {"window": window, "granularity": "1 day", "requests": 4009, "failed": 1}
    monkeypatch.setitem(MADE, "health_metrics", pa.Table.from_pylist([row], tables.HEALTH_METRICS))
    monkeypatch.setitem(MADE, "params:monitoring", SimpleNamespace(now=window["end"]))
    assert "4,009 requests, <0.1% failed" in shown(["health_metrics"], terminal=False)


@pytest.mark.parametrize("names", [["logged_candidate"], []])
def test_run_without_results_prints_nothing(names: list[str]) -> None:
    assert shown(names, terminal=False) == ""


def test_run_that_makes_only_a_page_says_where_it_is() -> None:
    assert "data/08_reporting/model_card.html" in shown(["model_card"], terminal=False)


def test_partial_run_shows_only_its_results() -> None:
    text = shown(["data_quality"], terminal=False)
    assert "8 kept" in text
    assert "3 values of weight do not count as numbers and are null" in " ".join(text.split())
    assert "values of height" not in text
    assert "Model" not in text


def test_summary_shows_the_verdict_of_the_ab_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MADE, "ab_report", {"verdict": "No difference yet: p = 0.4."})
    assert "No difference yet: p = 0.4." in shown(["ab_report"], terminal=False)


def test_rerun_reports_that_the_model_is_champion_already(monkeypatch: pytest.MonkeyPatch) -> None:
    again = PROMOTION | {"promoted": False, "previous_champion": "3", "reason": "Failed: a tie"}
    monkeypatch.setitem(MADE, "promotion", again)
    text = shown(["evaluation", "promotion"], terminal=False)
    assert "champion already: version 3" in text
    assert "Failed" not in text


def test_summary_shows_open_alerts_and_the_retraining_decision() -> None:
    alerts = [
        {"state": state, "severity": "warning", "rule": "drift", "message": f"[red]{state}"}
        for state in ("open", "silenced", "resolved")
    ]
    decision = {"retrain": True, "reasons": ["drift: [x] it is"]}
    made = {"alerts": pa.Table.from_pylist(alerts, tables.ALERTS), "retrain": decision}
    text = summary_of(made)
    assert "1 open, 0 acknowledged, 1 silenced" in text
    assert "warning drift: [red]open" in text
    assert "[red]silenced" not in text
    assert "yes" in text
    assert "drift: [x] it is" in text
    assert "Retrain  no" in summary_of({"retrain": decision | {"retrain": False}})


def summary_of(made: dict[str, Any]) -> str:
    def nothing() -> Any:
        return None

    pipeline = Pipeline([node(nothing, None, name, name=name) for name in made])
    stream = io.StringIO()
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in made.items()})
    summary.show(pipeline, catalog, Console(file=stream, width=100))
    return stream.getvalue()
