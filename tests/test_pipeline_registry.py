"""The pipelines are imported when they are used, so that commands start quickly."""

import copy
import subprocess
import sys

import pytest

from marvel_kedro.pipeline_registry import register_pipelines
from marvel_kedro.project import run_checks

HEAVY = {"duckdb", "lightgbm", "matplotlib", "pandera", "scipy.stats", "sklearn"}


@pytest.mark.parametrize(
    "code",
    [
        "from marvel_kedro import pipeline_registry as r; sorted(r.register_pipelines())",
        "import marvel_kedro.project.parameters",
        "import marvel_kedro.settings",
        "import marvel_kedro.cli",
    ],
)
def test_starting_a_command_loads_no_heavy_library(code: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not HEAVY & set(done.stdout.split())


def test_main_job_nodes_of_serving_leave_training_unimported() -> None:
    pipelines = register_pipelines()
    made = run_checks.main_job_nodes({"records", "champion", "params:serving"}, pipelines)
    assert made["records"] == "select_records"
    assert "_create" in vars(pipelines["training"])


def test_main_job_nodes_has_every_output_of_the_main_job() -> None:
    pipelines = register_pipelines()
    made = run_checks.main_job_nodes({"test_scores"}, pipelines)
    expected = {out: node.name for node in pipelines["__default__"].nodes for out in node.outputs}
    assert made == expected


def test_lazy_pipeline_behaves_like_its_pipeline() -> None:
    named = register_pipelines()
    assert {node.name for node in named["serving"].nodes} == {
        "publish_records",
        "score_records",
    }
    assert copy.deepcopy(register_pipelines()["serving"]).inputs() == named["serving"].inputs()
    parts = named["processing"] + named["training"] + named["serving"]
    assert set(parts.nodes) == set(named["__default__"].nodes)
    with pytest.raises(AttributeError, match="no_such_attribute"):
        register_pipelines()["serving"].no_such_attribute  # type: ignore[attr-defined] # noqa: B018
