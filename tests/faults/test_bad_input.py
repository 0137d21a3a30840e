"""Bad input through the door that users take: one message, and nothing changes."""

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
    """A project with a raw file of its own."""
    shutil.copy(synthetic_path, project.raw)
    return project


def untouched(project: Project) -> bool:
    """No table was written and no model registered."""
    tables = list(project.path.glob("data/0[2-9]*/*.*"))
    return not tables and not project.client().search_registered_models()


def says(outcome: Outcome, *words: str) -> None:
    assert outcome.status == 1, outcome.output
    assert "Traceback" not in outcome.output
    for word in words:
        assert word in outcome.output
    assert outcome.output.count("Error:") == 1


def test_no_file(project: Project) -> None:
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
def test_a_file_that_is_none(project: Project, content: bytes, words: str) -> None:
    project.raw.write_bytes(content)
    says(project.cli(), words)
    assert untouched(project)


def test_a_file_with_other_columns(project: Project, other_schema_path: Path) -> None:
    shutil.copy(other_schema_path, project.raw)
    says(project.cli(), "lacks the columns ['PageID', 'Name', 'Universe'", "mohitbansal31s")
    assert untouched(project)


def test_ten_rows(filled: Project) -> None:
    pd.read_csv(filled.raw, dtype="str", nrows=10).to_csv(filled.raw, index=False)
    says(filled.cli(), "train_set")
    assert not filled.client().search_registered_models()


def test_one_class_only(filled: Project) -> None:
    raw = pd.read_csv(filled.raw, dtype="str").assign(Alive="Alive")
    raw.to_csv(filled.raw, index=False)
    says(filled.cli(), "train_set", "Dead")
    assert not filled.client().search_registered_models()


def test_no_usable_row_leaves_the_tables_as_they_were(filled: Project) -> None:
    filled.run("processing")
    before = filled.table("characters")
    raw = pd.read_csv(filled.raw, dtype="str").assign(Alive="alive")
    raw.to_csv(filled.raw, index=False)
    says(filled.cli(), "no row that can be used", "'unknown alive': 3000")
    assert_frame_equal(filled.table("characters"), before)


def test_a_comma_at_the_end_of_every_row_shifts_nothing(filled: Project) -> None:
    header, *rows = filled.raw.read_text(encoding="utf-8").splitlines()
    expected = pd.read_csv(filled.raw, dtype="str", keep_default_na=False)
    filled.raw.write_text("\n".join([header, *(f"{row}," for row in rows)]), encoding="utf-8")
    assert_frame_equal(RawCSVDataset(filepath=str(filled.raw)).load(), expected)


def test_a_project_that_was_moved(filled: Project) -> None:
    """MLflow notes where artefacts are; a stranger to the new place must be told."""
    filled.run()
    moved = Project(filled.path.rename(filled.path.with_name("elsewhere")))
    says(moved.kedro("run"), "its files cannot be loaded", "restore it")
    shutil.rmtree(filled.path, ignore_errors=True)  # MLflow makes the old folder again
    moved.path.rename(filled.path)
    filled.run()
    assert filled.champion().version == 1


def test_odd_rows_are_counted_and_the_rest_is_used(filled: Project) -> None:
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
def test_an_unknown_or_mistyped_parameter(
    filled: Project, parameter: str, words: list[str]
) -> None:
    says(filled.cli("--params", parameter), *words, "--params")
    assert untouched(filled)


def test_an_unknown_pipeline(filled: Project) -> None:
    says(filled.cli("--pipelines", "trainin"), "trainin", "training")


def test_serving_without_a_champion(filled: Project) -> None:
    filled.run("processing")
    says(filled.cli("--pipelines", "serving"), "has the alias 'champion'", "--pipelines training")


def test_a_candidate_below_the_floor_is_not_registered(filled: Project) -> None:
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
    ("words", "said"),
    [
        (["--env", "prod"], "prod"),
        (["--tags", "trainingg"], "contains no nodes"),
        (["--nodes", "fit_modell"], "fit_modell"),
        (["--from-nodes", "nope"], "nope"),
        (["--runner", "Foo"], "Foo"),
        (["--params", "processing.quality.expected.foo=[a]"], "processing.quality.expected.foo"),
        (["--params", "training.fit.leaves=1000000"], "training.fit.leaves"),
        (["--params", "training.model_name=mine"], "training.model_name"),
        (["--params", "mlflow_run_id=abc"], "abc"),
    ],
)
def test_words_that_mean_nothing(filled: Project, words: list[str], said: str) -> None:
    says(filled.cli(*words), said)
    assert untouched(filled)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("base/training/parameters.yml", "training: {fit: [1", "Invalid YAML"),
        ("local/parameters.yml", "training:\n\tfit: 1", "Invalid YAML"),
        ("local/parameters.yml", "training: 1\ntraining: 2", "duplicate key training"),
        ("local/parameters.yml", "training: *nothing", "undefined alias"),
        ("base/processing/parameters.yml", "processing: ${globals:nothing}", "key 'nothing'"),
        ("local/parameters.yml", "serving:\n  scored_at: [1, '${nothing}']", "key 'nothing'"),
        ("local/catalog.yml", "characters: {filepath: '${nothing}'}", "key 'nothing'"),
    ],
)
def test_configuration_that_cannot_be_read(
    filled: Project, file: str, content: str, words: str
) -> None:
    path = filled.path / "conf" / file
    path.write_text(content)
    outcome = filled.cli()
    says(outcome, words)
    assert re.findall(r"/\S+\.yml", outcome.output) == [str(path)]
    assert untouched(filled)


def test_a_dataset_of_no_type(filled: Project) -> None:
    entry = "raw_characters: {type: pandas.NoSuchDataset, filepath: x}"
    (filled.path / "conf/local/catalog.yml").write_text(entry)
    says(filled.cli(), "'raw_characters'", "'NoSuchDataset'")
    assert untouched(filled)


@pytest.mark.parametrize("uri", ["foo", "foo://bar", "postgresql://me:hush@127.0.0.1:1/db"])
def test_an_address_that_is_no_store(
    filled: Project, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    outcome = filled.cli()
    says(outcome)
    assert "hush" not in outcome.output
    assert untouched(filled)


def test_a_folder_in_the_place_of_the_raw_file(project: Project) -> None:
    project.raw.mkdir()
    says(project.cli("--pipelines", "processing"), "There is no raw file at")


def test_a_damaged_store(filled: Project) -> None:
    (filled.path / "mlflow.db").write_bytes(b"no database" * 100)
    says(filled.cli(), "is damaged or not an SQLite database", "move it away")


def test_a_damaged_table(filled: Project) -> None:
    filled.run("processing")
    (filled.path / "data/05_model_input/train_set.parquet").write_bytes(b"garbage" * 10)
    says(filled.cli("--pipelines", "training"), "train_set")
    filled.run()


def test_a_table_that_lacks_a_column(filled: Project) -> None:
    filled.run()
    filled.table("characters").drop(columns="origin").to_parquet(
        filled.path / "data/03_primary/characters.parquet"
    )
    says(filled.cli("--pipelines", "serving"), "breaks its contract", "origin")


def test_an_empty_test_set(filled: Project) -> None:
    says(filled.cli("--params", "processing.split.test_share=0.00001"), "test_set has no rows")
    assert not filled.client().search_registered_models()
