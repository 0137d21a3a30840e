"""A copied, moved or oddly named project: everything stays inside its own folder."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.project import Project

from marvel_kedro import cli


def contents(folder: Path) -> dict[str, str]:
    """Return the hash of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def copied(folder: Path, to: Path) -> Project:
    shutil.copytree(folder, to)
    return Project(to)


def test_copied_project_writes_nothing_into_the_original(trained: Path, tmp_path: Path) -> None:
    original = copied(trained, tmp_path / "original")
    original.run("synthetic")  # which makes the store name this folder
    before = contents(original.path)
    copy = copied(original.path, tmp_path / "a copy")
    outcome = copy.cli("--params", "training.fit.max_trees=10", "--pipelines", "training")
    assert outcome.status == 0, outcome.output
    assert outcome.output.count("copied or moved from") == 1
    assert contents(original.path) == before
    locations = {run.info.artifact_uri for run in copy.client().search_runs(["1"])}
    assert len(locations) == 2
    assert all(location.startswith(copy.path.as_uri()) for location in locations)
    shutil.rmtree(original.path)
    again = copy.cli("--pipelines", "serving")
    assert again.status == 0, again.output
    assert "copied or moved from" not in again.output


def test_moved_project_finds_its_champion(watched: Project) -> None:
    watched.run("synthetic")
    moved = Project(watched.path.rename(watched.path.with_name("elsewhere")))
    shown = moved.kedro("endpoint", "show")
    assert shown.status == 0
    assert "copied or moved from" in shown.output
    served = moved.cli("--pipelines", "serving")
    assert served.status == 0, served.output
    assert "copied or moved from" not in served.output
    assert not watched.path.exists()


def test_copy_without_artefacts_is_refused(trained: Path, tmp_path: Path) -> None:
    original = copied(trained, tmp_path / "original")
    original.run("synthetic")
    before = contents(original.path)
    copy = copied(original.path, tmp_path / "copy")
    shutil.rmtree(copy.path / "mlartifacts")
    for outcome in (
        copy.cli(),
        copy.cli(command=cli.serve),
        copy.cli("show", command=cli.endpoint),
    ):
        assert outcome.status == 1
        assert outcome.output.count("Error:") == 1
        assert f"is a copy of {original.path} without mlartifacts" in outcome.output
    assert contents(original.path) == before


def test_location_that_the_user_chose_stays(trained: Path, tmp_path: Path) -> None:
    project = copied(trained, tmp_path / "project")
    project.run("synthetic")
    shared = tmp_path / "shared" / "mlartifacts"
    shutil.move(project.path / "mlartifacts", shared)
    moved = Project(project.path.rename(tmp_path / "elsewhere"))
    client = moved.client()
    client.create_experiment("mine", artifact_location=shared.as_uri())
    moved.run("synthetic")
    found: Any = client.get_experiment_by_name("mine")
    assert found.artifact_location == shared.as_uri()


@pytest.mark.parametrize(
    "name", ["My%20Project", "a[b]", "a{b}", "a?b", "a\\b", "a^b", "a|b", "a\tb"]
)
def test_folder_that_libraries_misread_is_refused(
    name: str, template: Path, tmp_path: Path
) -> None:
    project = copied(template, tmp_path / "home" / name)
    before = contents(tmp_path)
    for command, words in ((cli.run, ()), (cli.serve, ()), (cli.demo, ())):
        outcome = project.cli(*words, command=command)
        assert outcome.status == 1
        assert outcome.output.count("Error:") == 1
        assert f"The folder {str(project.path)!r}"[:-1] in outcome.output
    assert contents(tmp_path) == before
    assert [path.name for path in project.path.parent.iterdir()] == [name]


def test_warehouse_that_sail_misreads_is_refused(template: Path, tmp_path: Path) -> None:
    project = copied(template, tmp_path / "a b")
    outcome = project.cli("--env", "lakehouse", "--pipelines", "processing")
    assert outcome.status == 1
    assert "MARVEL_WAREHOUSE" in outcome.output
    assert [path.name for path in tmp_path.iterdir()] == ["a b"]


def test_tilde_is_the_home_folder_or_refused(project: Project, tmp_path: Path) -> None:
    """Kedro takes `~` in the catalog for a folder of that name in the project."""
    home = tmp_path / "home"
    words, files = ("--pipelines", "processing"), {"HOME": str(home), "MARVEL_FILES": "~/files"}
    outcome = project.cli(*words, environment=files)
    assert f"There is no raw file at {home}/files/01_raw/" in outcome.output.replace("\n", "")
    local = project.path / "conf" / "local" / "processing"
    local.mkdir(parents=True)
    entry = "{type: marvel_kedro.datasets.raw_csv.RawCSVDataset, filepath: ~/d/my.csv}"
    (local / "catalog.yml").write_text(f"raw_table: {entry}\n")
    outcome = project.cli()
    assert outcome.status == 1
    assert "The catalog entry raw_table has" in outcome.output
    assert not (project.path / "~").exists()
    assert not home.exists()
