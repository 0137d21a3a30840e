"""The tables of monitoring are the same on every engine."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from support.inference_traffic import Traffic, make_traffic
from support.monitoring_state import lakehouse_state, state
from support.project import Project

SMALL = "synthetic.rows=1500,training.fit.max_trees=20,training.fit.folds=2"
WAREHOUSE = "data/warehouse/marvel_characters"
MONITOR = (
    *("--pipelines", "monitoring", "--params"),
    "monitoring.now=2026-01-20T00:00:00+00:00",
)


@pytest.fixture(scope="module")
def traffic() -> Traffic:
    return make_traffic(days=3, requests_a_day=60)


def ran(project: Project, *words: str, engine: str = "sail") -> None:
    outcome = project.on(engine, *words)
    assert outcome.status == 0, outcome.output


@pytest.fixture(scope="module")
def on_files(
    traffic: Traffic, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The tables in the environment `base`."""
    project = Project(tmp_path_factory.mktemp("files") / "project")
    shutil.copytree(template, project.path)
    ran(project, "--params", SMALL)
    traffic.write(project.path / "data")
    ran(project, *MONITOR)
    return state(project)


@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.spark)])
def test_monitoring_tables_are_the_same_on_every_engine(
    engine: str, traffic: Traffic, on_files: dict[str, Any], project: Project
) -> None:
    sail = ("--env", "lakehouse")
    ran(project, *sail, "--params", SMALL)
    if engine == "spark":  # whose catalog has another name
        model = "sail.marvel_characters.marvel_characters"
        project.client().copy_model_version(
            f"models:/{model}/1", model.replace("sail", "spark_catalog")
        )
    if engine == "sail":  # Spark takes minutes to do it twice
        some = Traffic(traffic.payload.slice(40), traffic.served, traffic.labels.slice(0, 70))
        some.write_tables(project.path / WAREHOUSE)
        ran(project, *MONITOR, *sail, engine=engine)
        assert lakehouse_state(project) != on_files
    traffic.write_tables(project.path / WAREHOUSE)  # late requests and late labels
    ran(project, *MONITOR, *sail, engine=engine)
    assert lakehouse_state(project) == on_files
