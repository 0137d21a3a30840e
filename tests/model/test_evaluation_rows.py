"""The candidate is measured as it comes back from the store."""

import json
from typing import Any

import pytest
from support.project import Project

from marvel_kedro.model.portable.predictor import ENCODER_FILE, TabularModel


def in_order(settings: dict[str, Any]) -> None:
    """A list that was learnt as a mapping, in JSON with sorted keys."""
    settings["columns"]["origin"]["parts"].sort()


def rounded(settings: dict[str, Any]) -> None:
    for rows_and_rate in settings["columns"]["universe"]["rates"].values():
        rows_and_rate[1] = round(rows_and_rate[1], 1)


def threshold(settings: dict[str, Any]) -> None:
    """The probabilities are the same."""
    settings["threshold"] = 1


@pytest.mark.parametrize("change", [in_order, rounded, threshold])
def test_candidate_that_scores_differently_from_its_files_is_not_registered(
    watched: Project, monkeypatch: pytest.MonkeyPatch, change: Any
) -> None:
    files = TabularModel._files

    def changed(self: TabularModel) -> dict[str, str]:
        settings = json.loads(files(self)[ENCODER_FILE])
        change(settings)
        return files(self) | {ENCODER_FILE: json.dumps(settings)}

    monkeypatch.setattr(TabularModel, "_files", changed)
    fit = "training.fit.max_trees=30,training.fit.folds=2,training.fit.min_part_rows=1"
    outcome = watched.cli("--pipelines", "training", "--params", fit)
    assert outcome.status == 1, outcome.output
    assert "test rows differently once it is loaded back" in " ".join(outcome.output.split())
    assert watched.champion().version == 1
    assert len(watched.client().search_model_versions("name='marvel_characters'")) == 1
