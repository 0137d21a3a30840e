"""Bad input by the command line: one message, and nothing changes."""

import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from support.project import Outcome, Project

from marvel_kedro.datasets.raw_csv import RawCSVDataset


@pytest.fixture
def filled(project: Project, synthetic_path: Path) -> Project:
    """A project with a raw file."""
    shutil.copy(synthetic_path, project.raw)
    return project


def untouched(project: Project) -> bool:
    """Return whether no table was written and no model registered."""
    tables = list(project.path.glob("data/0[2-9]*/*.*"))
    return not tables and not project.client().search_registered_models()


def says(outcome: Outcome, *words: str) -> None:
    """Assert that a command ended in one message that contains the words."""
    assert outcome.status == 1, outcome.output
    assert "Traceback" not in outcome.output
    for word in words:
        assert word in outcome.output
    assert outcome.output.count("Error:") == 1


def test_missing_raw_file_is_one_message(project: Project) -> None:
    says(project.cli("--pipelines", "processing"), "There is no raw file at", "--pipelines synth")
    assert untouched(project)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "is not UTF-8 text", id="picture"),
        pytest.param(b"just some words\nand more\n", "lacks the columns", id="prose"),
        pytest.param("PageID,Näme\n1,é\n".encode("latin-1"), "is not UTF-8 text", id="latin-1"),
        pytest.param(b"PageID;Name;Universe\na;b;c\n", "separated by semicolons", id="semicolons"),
    ],
)
def test_file_that_is_no_csv_table_is_one_message(
    project: Project, content: bytes, words: str
) -> None:
    project.raw.write_bytes(content)
    says(project.cli(), words)
    assert untouched(project)


def test_file_with_other_columns_is_one_message(project: Project, other_schema_path: Path) -> None:
    shutil.copy(other_schema_path, project.raw)
    says(project.cli(), "lacks the columns ['PageID', 'Name', 'Universe'", "conf/base/table.yml")
    assert untouched(project)


def test_ten_rows_register_no_model(filled: Project) -> None:
    pd.read_csv(filled.raw, dtype="str", nrows=10).to_csv(filled.raw, index=False)
    says(filled.cli(), "train_set")
    assert not filled.client().search_registered_models()


def test_one_class_registers_no_model(filled: Project) -> None:
    raw = pd.read_csv(filled.raw, dtype="str").assign(Alive="Alive")
    raw.to_csv(filled.raw, index=False)
    says(filled.cli(), "train_set", "Dead")
    assert not filled.client().search_registered_models()


def test_file_without_usable_rows_leaves_tables_unchanged(filled: Project) -> None:
    filled.run("processing")
    before = filled.table("records")
    raw = pd.read_csv(filled.raw, dtype="str").assign(Alive="alive")
    raw.to_csv(filled.raw, index=False)
    says(filled.cli(), "no row that can be used", "'unknown alive': 3000")
    assert_frame_equal(filled.table("records"), before)


def test_comma_at_the_end_of_every_row_shifts_no_column(filled: Project) -> None:
    header, *rows = filled.raw.read_text(encoding="utf-8").splitlines()
    expected = pd.read_csv(filled.raw, dtype="str", keep_default_na=False)
    filled.raw.write_text("\n".join([header, *(f"{row}," for row in rows)]), encoding="utf-8")
    assert_frame_equal(RawCSVDataset(filepath=str(filled.raw)).load(), expected)


def test_unusable_rows_are_counted_and_the_rest_is_used(filled: Project) -> None:
    raw = pd.read_csv(filled.raw, dtype="str", keep_default_na=False)
    raw.loc[0, "PageID"] = ""
    raw["PageID"] = raw["PageID"].where(raw.index != 1, raw["PageID"][2])
    raw.loc[3, "Alive"] = "Undead"
    for row, height in enumerate(("-1", "inf", "1,80"), 4):
        raw.loc[[row], "Height (m)"] = height
    raw.to_csv(filled.raw, index=False, encoding="utf-8-sig")
    assert filled.cli().status == 0
    quality = filled.report("data_quality")
    assert quality["rejected"] == {
        "no page_id": 1,
        "repeated page_id": 1,
        "unknown alive": 1,
    }
    assert quality["unusable"] == {"height": 3, "weight": 0}
    assert quality["rows_kept"] + quality["rows_rejected"] == quality["rows_in"] == len(raw)


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        ("processing.split.test_shear=0.3", ["processing.split.test_shear", "not permitted"]),
        ("processing.split.test_share=many", ["processing.split.test_share", "number", "'many'"]),
        ("processing.split.test_share=1.5", ["processing.split.test_share", "less than 1"]),
        ("training.fit.learning_rat=1", ["training.fit.learning_rat", "not permitted"]),
        ("procesing.split.test_share=0.3", ["procesing", "not permitted"]),
        ("synthetic.drift.scenario=chaos", ["synthetic.drift.scenario", "'covariate'"]),
    ],
)
def test_unknown_or_mistyped_parameter_is_named(
    filled: Project, parameter: str, words: list[str]
) -> None:
    says(filled.cli("--params", parameter), *words, "--params")
    assert untouched(filled)


def test_serving_without_champion_names_the_alias(filled: Project) -> None:
    filled.run("processing")
    says(filled.cli("--pipelines", "serving"), "has the alias 'champion'", "--pipelines training")


def test_candidate_below_the_floor_is_not_registered(filled: Project) -> None:
    says(
        filled.cli("--params", "training.gate.min_roc_auc=0.99"),
        "has the alias 'champion'",
        "promotion.json",
    )
    assert filled.report("promotion")["promoted"] is False
    assert not filled.client().search_registered_models()
    filled.run()
    assert filled.report("promotion")["promoted"] is True


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--env", "prod"], "prod"),
        (["--tags", "trainingg"], "kedro registry describe"),
        (["--pipelines", "trainin"], "There are: __default__, ab_test, alerting"),
        (["--nodes", "fit_modell"], "fit_modell is in no pipeline"),
        (["--nodes", "measure_drift"], "measure_drift is in monitoring: add --pipelines"),
        (["--to-outputs", "drift_metrics"], "reporting: add --pipelines monitoring"),
        (["--from-nodes", "nope"], "nope"),
        (["--runner", "Foo"], "Foo"),
        (["--params", "processing.quality.expected=1"], "processing.quality.expected"),
        (["--params", "training.fit.leaves=1000000"], "training.fit.leaves"),
        (["--params", "training.model_name=mine"], "training.model_name"),
        (["--params", "table.key=name"], "--params cannot change the table"),
        (["--params", "mlflow_run_id=abc"], "abc"),
        (["--params", "monitoring.now=2026-01-31"], "such as 2026-01-31T18:00:00+00:00"),
    ],
)
def test_unknown_option_value_is_named(filled: Project, words: list[str], named: str) -> None:
    says(filled.cli(*words), named)
    assert untouched(filled)


def test_verbose_adds_the_traceback_that_a_message_offers(filled: Project) -> None:
    words = ("--runner", "Foo")
    brief, verbose = filled.cli(*words), filled.cli(*words, "--verbose")
    says(brief, "kedro run --verbose shows where.")
    assert "Traceback (most recent call last)" in verbose.output
    assert brief.output.splitlines()[-1] == verbose.output.splitlines()[-1]
    says(filled.cli(*words), "Foo")


def test_wrong_section_is_not_quoted_as_a_whole(filled: Project) -> None:
    traffic = "endpoint.traffic.champion=80,endpoint.traffic.challenger=40"
    outcome = filled.cli("--params", traffic)
    says(outcome, "- endpoint: traffic adds up to 120, not to 100\n")
    assert "served_entities" not in outcome.output


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("base/training/parameters.yml", "training: {fit: [1", "Invalid YAML"),
        ("local/parameters.yml", "training:\n\tfit: 1", "Invalid YAML"),
        ("local/parameters.yml", "training: 1\ntraining: 2", "duplicate key training"),
        ("local/parameters.yml", "training: *nothing", "undefined alias"),
        ("base/processing/parameters.yml", "processing: ${globals:nothing}", "key 'nothing'"),
        ("local/parameters.yml", "serving:\n  scored_at: [1, '${nothing}']", "key 'nothing'"),
        ("local/catalog.yml", "records: {filepath: '${nothing}'}", "key 'nothing'"),
        ("local/table.yml", "table: [", "Invalid YAML"),
    ],
)
def test_unreadable_configuration_names_its_file(
    filled: Project, file: str, content: str, words: str
) -> None:
    path = filled.path / "conf" / file
    path.write_text(content)
    outcome = filled.cli()
    says(outcome, words)
    assert re.findall(r"/\S+\.yml", outcome.output) == [str(path)]
    assert untouched(filled)


def test_unknown_dataset_type_is_named(filled: Project) -> None:
    entry = "raw_table: {type: pandas.NoSuchDataset, filepath: x}"
    (filled.path / "conf/local/catalog.yml").write_text(entry)
    says(filled.cli(), "'raw_table'", "'NoSuchDataset'")
    assert untouched(filled)


@pytest.mark.parametrize("uri", ["foo", "foo://bar", "postgresql://me:hush@127.0.0.1:1/db"])
def test_address_that_is_no_store_is_one_message_without_password(
    filled: Project, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    outcome = filled.cli()
    says(outcome)
    assert "hush" not in outcome.output
    assert untouched(filled)


def test_folder_in_place_of_the_raw_file_is_one_message(project: Project) -> None:
    project.raw.mkdir()
    says(project.cli("--pipelines", "processing"), "There is no raw file at")


def test_damaged_store_is_one_message(filled: Project) -> None:
    (filled.path / "mlflow.db").write_bytes(b"no database" * 100)
    says(filled.cli(), "is damaged or not an SQLite database", "move it away")


def test_damaged_table_is_named_and_made_again(filled: Project) -> None:
    filled.run("processing")
    (filled.path / "data/05_model_input/train_set.parquet").write_bytes(b"garbage" * 10)
    says(filled.cli("--pipelines", "training"), "train_set")
    filled.run()


def test_table_without_a_column_breaks_its_contract(filled: Project) -> None:
    filled.run()
    filled.table("records").drop(columns="origin").to_parquet(
        filled.path / "data/03_primary/records.parquet"
    )
    says(filled.cli("--pipelines", "serving"), "breaks its contract", "origin")


def test_empty_test_set_registers_no_model(filled: Project) -> None:
    says(filled.cli("--params", "processing.split.test_share=0.00001"), "test_set has no rows")
    assert not filled.client().search_registered_models()
