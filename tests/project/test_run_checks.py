"""What `kedro run` refuses before it starts."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from support.project import Project

from marvel_kedro.datasets.raw_csv import RawCSVDataset


@pytest.fixture
def filled(project: Project, synthetic_path: Path) -> Project:
    """A project with a raw file."""
    shutil.copy(synthetic_path, project.raw)
    return project


def refused(project: Project, *words: str) -> str:
    """What a refused command says; it has left neither a table nor a run behind."""
    outcome = project.cli(*words)
    assert outcome.status == 1, outcome.output
    assert not list(project.path.glob("data/0[2-9]*/*.*"))
    experiment = project.client().get_experiment_by_name("marvel_characters")
    assert not experiment or not project.client().search_runs([experiment.experiment_id])
    return outcome.output.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["--async"], "--async"),
        (["--runner-params", "is_async=True"], "--async"),
        (["--runner", "ParallelRunner"], "ParallelRunner"),
        (["--only-missing-outputs"], "--only-missing-outputs"),
    ],
)
def test_options_that_would_tear_a_run_apart(
    filled: Project, words: list[str], option: str
) -> None:
    assert option in refused(filled, *words)


@pytest.mark.parametrize(
    ("words", "missing", "nodes"),
    [
        (["--pipelines", "training"], "split, test_set, train_set", "split_characters"),
        (["--pipelines", "serving"], "characters", "select_characters"),
        (
            ["--from-nodes", "evaluate_models"],
            "candidate, promotion, run_tables, test_scores",
            "describe_tables,fit_model",
        ),
    ],
)
def test_a_pipeline_that_starts_where_something_is_missing(
    filled: Project, words: list[str], missing: str, nodes: str
) -> None:
    said = refused(filled, *words)
    assert missing in said
    assert nodes in said
    assert "--from-nodes" in said


def test_made_up_rows_never_overwrite_a_file_that_somebody_brought(
    project: Project, real_sample_path: Path
) -> None:
    shutil.copy(real_sample_path, project.raw)
    said = refused(project, "--pipelines", "synthetic")
    assert "Move it away first" in said
    assert project.raw.read_bytes() == real_sample_path.read_bytes()


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"PageID,URL\n1,https://marvel.fandom.com/wiki/1\n", "is not synthetic"),
        (b"PageID\n1\n", "is not synthetic"),
        (b"", "cannot be read"),
        (b"PageID,URL\n\xe9,x\n", "cannot be read"),
        (b'PageID,URL\n"', "cannot be read"),
        (b"PageID,URL\n1,2,3\n", "cannot be read"),
    ],
)
def test_made_up_rows_never_overwrite_what_is_not_theirs(
    project: Project, content: bytes, fault: str
) -> None:
    project.raw.write_bytes(content)
    said = refused(project, "--pipelines", "synthetic")
    assert "Move it away first" in said
    assert fault in said
    assert project.raw.read_bytes() == content


def test_one_row_tells_who_made_a_file(filled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A raw file may be larger than memory."""
    read: list[int] = []
    load = RawCSVDataset.load

    def counting(dataset: RawCSVDataset) -> pd.DataFrame:
        frame: pd.DataFrame = load(dataset)
        read.append(len(frame))
        return frame

    monkeypatch.setattr(RawCSVDataset, "load", counting)
    filled.run("synthetic", synthetic={"rows": 200})
    assert read == [1]


def test_made_up_rows_may_be_made_anew(filled: Project) -> None:
    before = filled.raw.read_bytes()
    outcome = filled.kedro("run", "--pipelines", "synthetic", "--params", "synthetic.rows=200")
    assert outcome.status == 0, outcome.output
    assert len(filled.raw.read_bytes()) < len(before)
