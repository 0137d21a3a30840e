"""`kedro run --pipelines retraining`: from labelled records to a promoted or rejected model."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from pandas.testing import assert_frame_equal
from support.inference_traffic import make_traffic
from support.labelled_log import make_log, typed, write_log
from support.monitoring_state import monitor
from support.project import Project, reset_store

from marvel_kedro.characters.synthetic import SYNTHETIC_URL
from marvel_kedro.monitoring import tables
from marvel_kedro.table.frames import digest

MODEL = "marvel_characters"
REPORTS = Path("data", "08_reporting")
NOW = "2026-02-01T00:00:00+00:00"
SMALL = "synthetic.rows=4000,training.evaluation.resamples=20,training.gate.resamples=200"


class Retrained(NamedTuple):
    """A project after a retraining, the labelled records, and the task values."""

    project: Project
    records: pd.DataFrame
    task_values: dict[str, str]


@pytest.fixture(scope="module")
def trained(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with a champion trained on 4,000 synthetic characters."""
    folder = tmp_path_factory.mktemp("trained") / "project"
    shutil.copytree(template, folder)
    project = Project(folder)
    outcome = project.cli("--pipelines", "synthetic,processing,training", "--params", SMALL)
    assert outcome.status == 0, outcome.output
    reset_store()
    return project


@pytest.fixture
def champion(trained: Project, tmp_path: Path) -> Project:
    """A copy of it to change."""
    shutil.copytree(trained.path, tmp_path / "project")
    return Project(tmp_path / "project")


@pytest.fixture(scope="module")
def retrained(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Retrained:
    """A project whose champion comes from a retraining after a drift."""
    folder = tmp_path_factory.mktemp("retrained")
    project = Project(folder / "project")
    shutil.copytree(trained.path, project.path)
    alert = {
        "alert_id": "a",
        "rule": "realised_roc_auc",
        "state": "open",
        "message": "ROC AUC fell",
    }
    alerts = pa.Table.from_pylist([alert], tables.ALERTS)
    pq.write_table(alerts, project.path / REPORTS / "alerts.parquet")
    records = make_log(records=4000, scenario="concept")
    output = retrain(project, records, MARVEL_TASK_VALUES=str(folder / "values.json"))
    reset_store()
    assert str(project.champion().version) == "2", output
    return Retrained(project, records, json.loads((folder / "values.json").read_text()))


@pytest.fixture
def promoted(retrained: Retrained, tmp_path: Path) -> Project:
    """A copy of it to change."""
    shutil.copytree(retrained.project.path, tmp_path / "promoted")
    return Project(tmp_path / "promoted")


def log_of(project: Project) -> list[dict[str, Any]]:
    path = project.path / REPORTS / "retraining_log.parquet"
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def retrain(project: Project, records: pd.DataFrame, *parameters: str, **environment: str) -> str:
    write_log(records, project.path / "data" / "07_model_output" / "inference_log")
    params = ",".join([SMALL, f"monitoring.now={NOW}", *parameters])
    arguments = ("--pipelines", "retraining", "--params", params)
    outcome = project.cli(*arguments, environment=environment)
    assert outcome.status == 0, outcome.output
    return outcome.output


def baseline(project: Project) -> dict[str, set[str]]:
    """Return the pages of the baseline by version."""
    folder = project.path / "data" / "07_model_output" / "monitoring_baseline"
    pages = DeltaTable(folder).to_pandas().groupby("model_version")["page_id"]
    return {str(version): set(of) for version, of in pages}


def test_better_model_is_promoted_after_drift(
    retrained: Retrained, promoted: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert retrained.task_values == {"promoted": "true", "model_version": "2"}
    (row,) = log_of(promoted)
    assert row["outcome"] == "promoted"
    assert row["model_version"] == "2"
    assert row["reasons"] == ["realised_roc_auc: ROC AUC fell"]
    assert row["labelled_records"] == row["labelled_in_all"] == 4000
    assert row["retrained_at"].isoformat() == NOW
    assert row["detail"].startswith("Better than the champion")

    # Neither model was trained on the test rows.
    train = promoted.table("retraining_train_set")
    test = promoted.table("retraining_test_set")
    assert set(train["page_id"]).isdisjoint(test["page_id"])
    assert set(test["page_id"]) <= set(retrained.records["page_id"])
    assert set(test["page_id"]).isdisjoint(promoted.table("train_set")["page_id"])
    assert set(train["page_id"]).isdisjoint(promoted.table("test_set")["page_id"])
    promotion = promoted.report("promotion")
    assert (promotion["previous_champion"], promotion["tested_on"]) == ("1", "retraining_test_set")
    # The tables of processing are unchanged.
    assert len(promoted.table("train_set")) + len(promoted.table("test_set")) == 4000

    # The baseline of the new version is its own test set, not the old one.
    (promoted.path / REPORTS / "alerts.parquet").unlink()
    make_traffic(days=1, requests_a_day=40).write(promoted.path / "data")
    with monkeypatch.context() as patch:
        patch.setattr("marvel_kedro.monitoring.baseline.MIN_ROWS", len(test) + 1)
        monitor(promoted)
    past = set(promoted.table("test_set")["page_id"])
    assert baseline(promoted) == {"1": past, "2": past}
    shutil.rmtree(promoted.path / "data" / "07_model_output" / "monitoring_baseline")
    monitor(promoted)
    assert baseline(promoted) == {"1": past, "2": set(test["page_id"])}


def test_scheduled_training_keeps_champion_of_retraining(promoted: Project) -> None:
    # On the test rows from before the drift, the older model would win.
    test = promoted.table("retraining_test_set")

    outcome = promoted.cli("--pipelines", "training", "--params", SMALL)
    assert outcome.status == 0, outcome.output
    assert str(promoted.champion().version) == "2", outcome.output
    output = re.sub(r"[\s│]+", " ", outcome.output)
    assert (
        "the champion, version 2, comes from a retraining: both are measured on the "
        f"{len(test):,} rows of retraining_test_set"
    ) in output
    assert "not promoted" in output
    promotion = promoted.report("promotion")
    assert promotion["tested_on"] == "retraining_test_set"
    assert promotion["previous_champion"] == "2"
    assert promotion["reason"].startswith("Failed: ")
    # Version 1 does not become challenger: it would end the A/B test of another version.
    assert "challenger" not in promoted.client().get_registered_model(MODEL).aliases
    card = (promoted.path / REPORTS / "model_card.md").read_text()
    assert f"On the {len(test):,} rows of the test set (the table `retraining_test_set`)" in card
    assert re.search(rf"\| test_set \| {len(test):,} \| [\d.]+% \| `{digest(test)}` \|", card)
    assert set(promoted.table("test_scores")["page_id"]) == set(test["page_id"])

    # With a smaller test side, half of those rows are on the train side.
    other = f"{SMALL},processing.split.test_share=0.1"
    outcome = promoted.cli("--pipelines", "processing,training", "--params", other)
    assert outcome.status == 0, outcome.output
    tested = set(promoted.table("test_scores")["page_id"])
    assert 0 < len(tested) < len(test)
    assert tested.isdisjoint(promoted.table("train_set")["page_id"])
    assert str(promoted.champion().version) == "2"

    # A real file arrives: the synthetic-data champion does not bind it.
    text = promoted.raw.read_text("utf-8").replace(SYNTHETIC_URL, "https://example.org/wiki/")
    promoted.raw.write_text("".join(text.splitlines(keepends=True)[:3500]), "utf-8")
    outcome = promoted.cli("--pipelines", "processing,training", "--params", SMALL)
    assert outcome.status == 0, outcome.output
    assert "WARNING" not in outcome.output
    assert promoted.report("promotion")["tested_on"] == "test_set"
    assert str(promoted.champion().version) == "3", outcome.output


def test_champion_of_training_is_compared_on_test_set(champion: Project) -> None:
    # A retraining that the gate rejected leaves a test set, too.
    few = make_log(records=400, scenario="none")
    few["alive"] = few["alive"].sample(frac=1, random_state=5).to_numpy()
    retrain(champion, few)
    assert log_of(champion)[0]["outcome"] == "refused"
    champion.run("training", training={"evaluation": {"resamples": 20}})
    promotion = champion.report("promotion")
    assert (promotion["tested_on"], promotion["model_version"]) == ("test_set", "1")


def test_alerting_and_retraining_work_in_one_run(champion: Project) -> None:
    records = make_log(records=2000, scenario="none")
    write_log(records, champion.path / "data" / "07_model_output" / "inference_log")
    champion.run("alerting", "retraining", monitoring={"now": NOW})
    (row,) = log_of(champion)
    assert row["outcome"] != "started"
    assert champion.report("retrain")["cooldown_until"] == "2026-02-08T00:00:00+00:00"


def test_drift_of_older_version_is_no_reason_to_retrain(champion: Project) -> None:
    def alert(version: str) -> dict[str, str]:
        return {
            "alert_id": version,
            "rule": "input_drift",
            "state": "open",
            "message": f"drift of version {version}",
            "model_version": version,
        }

    path = champion.path / REPORTS / "alerts.parquet"
    few = make_log(records=40, scenario="none")
    write_log(few, champion.path / "data" / "07_model_output" / "inference_log")
    began = "begin_retraining,count_labels_since"
    for version in ("7", "1"):
        pq.write_table(pa.Table.from_pylist([alert(version)], tables.ALERTS), path)
        champion.cli("--pipelines", "retraining", "--nodes", began)
    older, current = log_of(champion)
    assert older["reasons"][:2] == [
        "started by hand",
        "alerts about version 7, which is not the champion (version 1)",
    ]
    assert current["reasons"][:2] == ["started by hand", "input_drift: drift of version 1"]


def test_random_labels_are_refused_and_start_cool_down(champion: Project) -> None:
    records = make_log(records=2000, scenario="none")
    shuffled = records["alive"].sample(frac=1, random_state=5).to_numpy()
    output = retrain(champion, records.assign(alive=shuffled))
    assert str(champion.champion().version) == "1"
    (row,) = log_of(champion)
    assert (row["outcome"], row["model_version"]) == ("refused", None)
    assert row["reasons"][0] == "started by hand"
    assert row["detail"].startswith("Failed: constant_gain")
    assert "not promoted" in re.sub(r"[\s│]+", " ", output)
    champion.run("alerting", monitoring={"now": "2026-02-03T00:00:00+00:00"})
    decision = champion.report("retrain")
    assert decision["cooldown_until"] == "2026-02-08T00:00:00+00:00"
    assert decision["labelled_records"] == 0
    assert not decision["retrain"]


def test_known_labels_give_same_version(champion: Project) -> None:
    times = pd.Timestamp("2026-01-05", tz="UTC")
    known = champion.table("records").assign(request_time=times, labelled_at=times)
    retrain(champion, typed(known))
    assert str(champion.champion().version) == "1"
    assert champion.report("promotion")["model_version"] == "1"
    (row,) = log_of(champion)
    assert (row["outcome"], row["model_version"]) == ("refused", "1")


def test_release_as_challenger_keeps_champion(champion: Project, tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    retrain(
        champion,
        make_log(records=4000, scenario="concept"),
        "retraining.release=challenger",
        MARVEL_TASK_VALUES=str(values),
    )
    assert str(champion.champion().version) == "1"
    client = champion.client()
    challenger = client.get_model_version_by_alias("marvel_characters", "challenger")
    assert str(challenger.version) == "2"
    assert json.loads(values.read_text()) == {"promoted": "false", "model_version": "2"}
    (row,) = log_of(champion)
    assert (row["outcome"], row["model_version"]) == ("challenger", "2")
    assert "released as challenger" in row["detail"]


def test_failed_retraining_is_logged_as_started(champion: Project) -> None:
    few = make_log(records=40, scenario="none")
    write_log(few, champion.path / "data" / "07_model_output" / "inference_log")
    params = f"monitoring.now={NOW},training.fit.min_rows=100000"
    outcome = champion.cli("--pipelines", "retraining", "--params", params)
    assert outcome.status == 1
    assert "training.fit.min_rows requires" in " ".join(outcome.output.split())
    (row,) = log_of(champion)
    assert (row["outcome"], row["model_version"]) == ("started", None)
    assert str(champion.champion().version) == "1"


def test_error_for_missing_inference_log_names_its_pipeline(champion: Project) -> None:
    outcome = champion.cli("--pipelines", "retraining")
    assert outcome.status == 1
    output = " ".join(outcome.output.split())
    assert "inference_log is not there" in output
    assert "kedro run --pipelines monitoring" in output


def test_error_for_missing_labels(champion: Project) -> None:
    records = make_log(records=20, scenario="none").assign(alive=None)
    folder = champion.path / "data" / "07_model_output" / "inference_log"
    write_log(records.astype({"alive": "str"}), folder)
    outcome = champion.cli("--pipelines", "retraining")
    assert outcome.status == 1
    output = " ".join(outcome.output.split())
    assert "inference_log has no labelled record to train on" in output


def test_retraining_on_same_rows_finds_same_version(
    retrained: Retrained, promoted: Project
) -> None:
    first = promoted.table("retraining_train_set")
    retrain(promoted, retrained.records.sample(frac=1, random_state=1))
    second = promoted.table("retraining_train_set")
    order: Any = {"by": "page_id", "ignore_index": True}
    assert_frame_equal(first.sort_values(**order), second.sort_values(**order))
    assert str(promoted.champion().version) == "2"
    assert [row["outcome"] for row in log_of(promoted)] == ["promoted", "refused"]
