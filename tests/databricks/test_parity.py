"""One raw file through every engine: the same tables, the same model, the same answers."""

import os
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from conftest import SHARED_DATA
from deltalake import write_deltalake
from pandas.testing import assert_frame_equal
from support.project import Project

NOW = "2026-01-01T00:00:00+00:00"
TABLES = (
    "records",
    "rejected_records",
    "train_set",
    "test_set",
    "test_scores",
    "predictions",
)
ENGINES = {
    "sail": {"MARVEL_ENGINE": "sail"},
    "spark": {"MARVEL_ENGINE": "spark"},
    "spark_connect": {"SPARK_REMOTE": "local[2]", "MARVEL_CATALOG": "spark_catalog"},
}

ODD = {
    "PageID": ["", "Odd_(Earth-1)", "Odd_(Earth-1)", "Odd_(Earth-2)", "Odd_(Earth-3)"],
    "Name": ['Odd "the" One', "Odd, One", "Odd, One", "\u00a0Odd\t", "Ö\u2003"],
    "Universe": ["Earth-1", "Earth-1", "Earth-1", "", "Earth-616"],
    "Identity": ["Public", "Secret", "Public", "No Dual", "Public"],
    "Gender": ["Female", "Male", "Male", "", "Agender"],
    "Alive": ["Alive", "Alive", "Dead", "Perhaps", "Dead"],
    "Marital Status": ["", "Single", "Widow", "Married", "Single"],
    "Teams": ["", "One\nTwo", "One\r\nTwo", "", "Three;"],
    "Height (m)": ["1.5", "1,80", "-1", "inf", "1.7e1"],
    "Weight (kg)": ["", "6 kg", "0", "0.0001", "70.10"],
    "Origin": ["Human", "  ", "Mutant\\", "", "Alien"],
}
"""Rows that are rejected, or whose cells are odd: quotes, line ends, blanks of all kinds."""

MARKED = [
    {"PageID": "NA", "Name": "NA", "Alive": "Dead"},
    {"PageID": "Null_(Earth-1)", "Name": "None", "Gender": "NULL", "Alive": "Dead"},
    {"PageID": "Odd_(Earth-4)", "Teams": " \\N ; NA;One;\xa0(null)", "Alive": "Alive"},
    {"PageID": "Odd_(Earth-5)", "Teams": "N/A", "Height (m)": "NaN", "Alive": "Alive"},
    {"PageID": "Odd_(Earth-6)", "Teams": "NAN; None of them", "Alive": "Dead"},
    {name: name for name in ODD},
]
"""Rows with missing markers of other tools, and a header line."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, synthetic_path: Path) -> Path:
    """The real file, or else a synthetic one, with unusual rows at its end."""
    real = SHARED_DATA / "marvel_characters_sample.csv"
    assert real.exists() or "CI" not in os.environ, "CI has the real rows"
    rows = pd.read_csv(
        real if real.exists() else synthetic_path, dtype="str", keep_default_na=False
    )
    path = tmp_path_factory.mktemp("parity") / "raw.csv"
    pd.concat([rows, pd.DataFrame(ODD), pd.DataFrame(MARKED)]).fillna("").to_csv(path, index=False)
    return path


def ran(template: Path, raw: Path, folder: Path, *words: str, **environment: str) -> Project:
    shutil.copytree(template, folder)
    project = Project(folder)
    shutil.copy(raw, project.raw)
    if environment:  # a table of an earlier description, which a run replaces
        earlier = pd.DataFrame({"page_id": ["a"], "earth_616": ["no"], "always_alive": [0.5]})
        write_deltalake(folder / "data/warehouse/marvel_characters/test_scores", earlier)
    run(project, *words, **environment)
    return project


def run(project: Project, *words: str, **environment: str) -> None:
    """Run the main job: on Sail and on files in this process, on Spark in one of its own."""
    words = ("--params", f"serving.scored_at={NOW}", *words)
    if environment in ({}, ENGINES["sail"]):
        outcome = project.cli(*words, environment=environment)
    else:
        outcome = project.kedro("run", *words, OMP_NUM_THREADS="1", **environment)
    assert outcome.status == 0, outcome.output


@pytest.fixture(scope="module")
def base(template: Path, raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return ran(template, raw, tmp_path_factory.mktemp("base") / "project")


def test_missing_markers_are_null_and_counted(base: Project) -> None:
    table: Any = base.table("records").set_index("page_id")
    assert table.loc["Null_(Earth-1)", "name"] == "None"
    assert pd.isna(table.loc["Null_(Earth-1)", "gender"])
    teams = {page: table.loc[f"Odd_(Earth-{page})", "teams"] for page in (3, 4, 6)}
    assert teams == {3: "Three;", 4: "One", 6: "NAN; None of them"}
    assert pd.isna(table.loc["Odd_(Earth-5)", "teams"])
    quality = base.report("data_quality")
    assert quality["missing_markers"] == {"page_id": 1, "gender": 1, "teams": 2, "height": 1}
    assert quality["rejected"]["no page_id"] == 2
    assert quality["rejected"]["header line"] == 1
    assert quality["rows_in"] == quality["rows_kept"] + quality["rows_rejected"]
    rejected = base.table("rejected_records").set_index("reason")
    assert rejected.loc["header line", "name"] == "Name"


def by_page(table: pd.DataFrame) -> pd.DataFrame:
    columns = sorted(table.columns)
    return table[columns].sort_values(columns, ignore_index=True)


def booster(project: Project, model: str) -> bytes:
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/mlflow.db")
    folder = mlflow.artifacts.download_artifacts(f"models:/{model}@champion")
    return (Path(folder) / "artifacts" / "model" / "booster.txt").read_bytes()


def run_of(project: Project, model: str) -> Any:
    return project.client().get_run(project.champion(model).run_id)


@pytest.mark.parametrize(
    "engine",
    ["sail", *(pytest.param(name, marks=pytest.mark.spark) for name in ("spark", "spark_connect"))],
)
def test_main_job_is_the_same_on_every_engine(
    engine: str, base: Project, template: Path, raw: Path, tmp_path: Path
) -> None:
    settings = ENGINES[engine]
    project = ran(template, raw, tmp_path / "project", "--env", "lakehouse", **settings)
    catalog = "sail" if engine == "sail" else "spark_catalog"
    model = f"{catalog}.marvel_characters.marvel_characters"

    first = {name: by_page(project.delta(name)) for name in TABLES}
    for name in TABLES:
        expected, found = by_page(base.table(name)), first[name]
        if name == "predictions":
            assert set(found["model_name"]) == {model}
            expected["model_name"] = model
        assert len(expected), name
        assert_frame_equal(found, expected, check_exact=True, obj=name)
    online = Path("data", "07_model_output", "online_records.db")
    assert (project.path / online).read_bytes() == (base.path / online).read_bytes()
    assert project.report("data_quality") == base.report("data_quality")
    assert booster(project, model) == booster(base, "marvel_characters")

    metrics = run_of(base, "marvel_characters").data.metrics
    assert len(metrics) > 10
    assert run_of(project, model).data.metrics == metrics

    if engine == "sail":
        run(project, "--env", "lakehouse", **settings)
        for name in set(TABLES) - {"test_scores"}:  # which has a champion's by now
            assert_frame_equal(by_page(project.delta(name)), first[name], obj=name)

    # Each run says which version of which table it read and wrote; this is the first one's.
    tags = run_of(project, model).data.tags
    for name in (*TABLES, "source_rows"):
        assert tags[f"delta.written.{name}"].isdecimal(), name
    for name in ("source_rows", "records", "train_set", "test_set", "test_scores"):
        assert tags[f"delta.read.{name}"] == tags[f"delta.written.{name}"], name
