"""What can go wrong where the tables are in a lakehouse: one message, and the next run heals."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake
from pandas.testing import assert_frame_equal
from support import Outcome, Project

from marvel_kedro.datasets.raw_csv import RawCSVDataset
from marvel_kedro.pipelines.synthetic.nodes import SyntheticOptions, make_characters

LAKEHOUSE = ("--env", "lakehouse", "--pipelines", "processing")
TABLES = ("source_rows", "characters", "rejected_characters", "train_set", "test_set")


def says(outcome: Outcome, *words: str) -> None:
    """It ended in one message that has the words, wherever its lines break."""
    print(outcome.output)
    assert outcome.status == 1, outcome.output
    assert "Traceback" not in outcome.output
    assert outcome.output.count("Error:") == 1
    said = " ".join(outcome.output.split())
    for word in words:
        assert word in said


def folder(project: Project, name: str) -> Path:
    return project.path / "data/warehouse/marvel_characters" / name


def rows(project: Project, name: str) -> pd.DataFrame:
    """A table as a reader finds it, whatever else is going on."""
    table = DeltaTable(folder(project, name)).to_pandas()
    return table.sort_values(list(table.columns), ignore_index=True)


def version(project: Project, name: str) -> int:
    return DeltaTable(folder(project, name)).version()


def make_raw(path: Path, seed: int = 1, **columns: Any) -> None:
    frames = make_characters(SyntheticOptions(rows=300, seed=seed))
    RawCSVDataset(filepath=str(path)).save(frame.assign(**columns) for frame in frames)


@pytest.fixture(scope="module")
def processed(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose tables are made; tests copy it."""
    project = Project(tmp_path_factory.mktemp("processed") / "project")
    shutil.copytree(template, project.path)
    make_raw(project.raw)
    outcome = project.cli(*LAKEHOUSE)
    assert outcome.status == 0, outcome.output
    return project


@pytest.fixture
def lake(processed: Project, tmp_path: Path) -> Project:
    """A project with a raw file and the tables of an earlier run."""
    shutil.copytree(processed.path, tmp_path / "lake")
    return Project(tmp_path / "lake")


@pytest.mark.parametrize("change", [{"alive": True}, {"mood": "good"}])
def test_a_table_with_another_schema_is_left_alone(
    lake: Project, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    by_hand = rows(lake, "characters").assign(**change)
    write_deltalake(folder(lake, "characters"), by_hand, mode="overwrite", schema_mode="overwrite")
    says(lake.cli(*LAKEHOUSE), "characters", *change, "MARVEL_EVOLVE=characters")
    assert version(lake, "characters") == 1
    assert_frame_equal(rows(lake, "characters"), by_hand)
    monkeypatch.setenv("MARVEL_EVOLVE", "characters")
    assert lake.cli(*LAKEHOUSE).status == 0
    monkeypatch.delenv("MARVEL_EVOLVE")
    assert lake.cli(*LAKEHOUSE).status == 0


def test_rows_that_break_a_rule_are_refused(lake: Project) -> None:
    broken = rows(lake, "characters")
    broken.loc[[0, 1], "alive"] = "maybe"
    broken["page_id"] = broken["page_id"].where(broken.index != 2, broken["page_id"][3])
    write_deltalake(folder(lake, "characters"), broken, mode="overwrite")
    says(
        lake.cli("--env", "lakehouse", "--from-nodes", "split_characters"),
        "characters",
        "alive breaks isin",
        "in 2 rows",
        "page_id is there twice in 1 rows",
    )
    assert lake.cli(*LAKEHOUSE).status == 0


@pytest.mark.parametrize("name", ["characters", "train_set"])
def test_a_table_that_lost_a_file(lake: Project, name: str) -> None:
    for file in folder(lake, name).glob("*.parquet"):
        file.unlink()
    if name == "characters":
        says(
            lake.cli("--env", "lakehouse", "--from-nodes", "split_characters"),
            "characters",
        )
    outcome = lake.cli(*LAKEHOUSE)
    assert outcome.status == 0, outcome.output


@pytest.mark.parametrize("content", [b"{broken", b""])
def test_a_table_whose_log_is_damaged(lake: Project, content: bytes) -> None:
    (log,) = folder(lake, "train_set").glob("_delta_log/*.json")
    log.write_bytes(content)
    says(lake.cli(*LAKEHOUSE), "train_set", "_delta_log", "move it away")
    folder(lake, "train_set").rename(lake.path / "away")
    assert lake.cli(*LAKEHOUSE).status == 0


def test_a_first_save_that_was_killed_leaves_no_table(lake: Project) -> None:
    """Files of rows, and no entry in the log."""
    (log,) = folder(lake, "train_set").glob("_delta_log/*.json")
    log.unlink()
    assert lake.cli(*LAKEHOUSE).status == 0
    assert len(rows(lake, "train_set")) + len(rows(lake, "test_set")) == 300


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"\x89PNG\r\n\x1a\n\x00\xff", "is not UTF-8 text", id="picture"),
        pytest.param(b"just some words\nand more\n", "lacks the columns", id="prose"),
        pytest.param(b"PageID;Name;Universe\na;b;c\n", "parted by semicolons", id="semicolons"),
    ],
)
def test_a_raw_file_that_is_none(project: Project, content: bytes, words: str) -> None:
    project.raw.write_bytes(content)
    says(project.cli(*LAKEHOUSE), words)
    assert not list(project.path.rglob("*.parquet"))


def test_no_raw_file(project: Project) -> None:
    says(project.cli(*LAKEHOUSE), "There is no raw file at", "--pipelines synth")


@pytest.mark.parametrize("cells", ["more", "fewer"])
def test_ragged_rows(lake: Project, cells: str) -> None:
    header, first, *others = lake.raw.read_text(encoding="utf-8").splitlines()
    ragged = f"{first},x" if cells == "more" else "a,b"
    lake.raw.write_text("\n".join([header, *others, ragged]), encoding="utf-8")
    says(lake.cli(*LAKEHOUSE), "The raw file (raw_characters) has rows with", "in quotes")
    assert version(lake, "source_rows") == 0


def test_not_utf8(lake: Project) -> None:
    text = lake.raw.read_text(encoding="utf-8")
    lake.raw.write_bytes(text.replace("Earth", "Ärth").encode("latin-1", "replace"))
    says(lake.cli(*LAKEHOUSE), "is not UTF-8 text")
    assert version(lake, "source_rows") == 0


def test_no_usable_row(lake: Project) -> None:
    before = rows(lake, "characters")
    make_raw(lake.raw, Alive="alive")
    says(lake.cli(*LAKEHOUSE), "no row that can be used", "'unknown alive': 300")
    assert_frame_equal(rows(lake, "characters"), before)


def test_one_class_only(lake: Project) -> None:
    make_raw(lake.raw, Alive="Alive")
    says(lake.cli("--env", "lakehouse"), "train_set", "Dead")
    assert not lake.client().search_registered_models()


def test_a_catalog_that_is_not_there(lake: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARVEL_CATALOG", "mlops_dev")
    says(lake.cli(*LAKEHOUSE), "mlops_dev")
