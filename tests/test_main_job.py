"""The main job from end to end, in this process: what a run makes, and what a rerun changes."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pandas.testing import assert_frame_equal
from support import Project

from marvel_kedro.pipelines.processing.nodes import RENAMED

FIXED_TIME = {"serving": {"scored_at": "2026-01-01T00:00:00+00:00"}}
TABLES = ("characters", "rejected_characters", "train_set", "test_set", "predictions")


def booster(project: Project) -> bytes:
    version = project.champion()
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/mlflow.db")
    folder = mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}")
    return (Path(folder) / "artifacts" / "model" / "booster.txt").read_bytes()


@pytest.fixture(scope="module")
def done(template: Path, synthetic_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project in which the main job ran once."""
    project = Project(tmp_path_factory.mktemp("main") / "project")
    shutil.copytree(template, project.path)
    shutil.copy(synthetic_path, project.raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        project.run(**FIXED_TIME)
    return project


def test_tables_add_up(done: Project) -> None:
    rows = {name: len(done.table(name)) for name in TABLES}
    assert rows["characters"] + rows["rejected_characters"] == 3000
    assert rows["train_set"] + rows["test_set"] == rows["characters"] == rows["predictions"]
    assert list(done.table("characters").columns) == list(RENAMED.values())
    assert done.report("data_quality")["rows_in"] == 3000


def test_tables_have_no_column_that_only_pandas_knows(done: Project) -> None:
    """Polars, DuckDB and Spark show an index that pandas stored as one more column."""
    files = list(done.path.glob("data/*/*.parquet"))
    assert {file.stem for file in files} >= {*TABLES, "test_scores"}
    for file in files:
        assert not [name for name in pq.read_schema(file).names if name.startswith("__")], file


def test_the_first_candidate_becomes_champion(done: Project) -> None:
    promotion = done.report("promotion")
    assert promotion["promoted"] is True
    assert promotion["model_version"] == "1"
    model = done.client().get_registered_model("marvel_characters")
    assert {alias: str(v) for alias, v in model.aliases.items()} == {"champion": "1"}
    assert set(done.table("predictions")["model_version"]) == {"1"}


def test_one_run_ties_parameters_tables_metrics_and_model_together(done: Project) -> None:
    client = done.client()
    version = done.champion()
    run: Any = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["training.fit.seed"]
    assert run.data.params["processing.split.test_share"] == "0.2"
    inputs = {entry.dataset.name: entry.dataset.digest for entry in run.inputs.dataset_inputs}
    assert set(inputs) == {"train_set", "test_set"}
    assert run.data.metrics["test.roc_auc"] > 0.5
    logged: Any
    (logged,) = client.search_logged_models([run.info.experiment_id])
    linked = {metric.key: metric.value for metric in logged.metrics}
    assert linked["test.roc_auc"] == run.data.metrics["test.roc_auc"]
    assert version.tags["data_source"] == "synthetic"


def test_the_run_shows_reports_and_plots(done: Project) -> None:
    client = done.client()
    version = done.champion()
    names = {entry.path for entry in client.list_artifacts(version.run_id)}
    assert {
        "data_quality.json",
        "evaluation.csv",
        "gate_checks.csv",
        "promotion.json",
        "model_card.html",
        "model_card.md",
        "roc.png",
        "calibration.png",
        "confusion.png",
        "importance.png",
    } <= names


def test_the_gate_s_checks_are_a_table(done: Project) -> None:
    checks = pd.read_csv(done.path / "data" / "08_reporting" / "gate_checks.csv")
    recorded = pd.DataFrame(done.report("promotion")["checks"])
    assert_frame_equal(checks, recorded, rtol=1e-9)
    assert {"roc_auc", "log_loss", "calibration_error"} <= set(checks["check"])


def test_predictions_are_the_champions_answers(done: Project) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{done.path}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/marvel_characters@champion")
    characters = done.table("characters")
    predictions = done.table("predictions")
    expected = model.predict(characters)
    assert_frame_equal(predictions[["prediction", "probability"]], expected)
    assert predictions["page_id"].to_list() == characters["page_id"].to_list()
    assert (predictions["scored_at"] == pd.Timestamp("2026-01-01", tz="UTC")).all()


def test_a_rerun_changes_no_table_no_alias_and_no_version(done: Project) -> None:
    before = {name: done.table(name) for name in TABLES}
    bytes_before = booster(done)
    done.run(**FIXED_TIME)
    for name, table in before.items():
        assert_frame_equal(done.table(name), table)
    assert booster(done) == bytes_before
    promotion = done.report("promotion")
    assert promotion["promoted"] is False
    model = done.client().get_registered_model("marvel_characters")
    assert {alias: str(v) for alias, v in model.aliases.items()} == {"champion": "1"}
    assert len(done.client().search_model_versions("name='marvel_characters'")) == 1


def test_training_alone_works_once_the_tables_exist(done: Project) -> None:
    done.run("training")
    assert done.report("promotion")["promoted"] is False


def test_rows_in_another_order_give_the_same_split_and_the_same_booster(
    done: Project, project: Project
) -> None:
    raw = pd.read_csv(done.raw, dtype="str", keep_default_na=False)
    raw.sample(frac=1, random_state=1).to_csv(project.raw, index=False)
    project.run(**FIXED_TIME)
    assert booster(project) == booster(done)
    for name in TABLES[:-1]:
        ours, theirs = (
            p.table(name).sort_values(["page_id", "name"], ignore_index=True)
            for p in (project, done)
        )
        assert_frame_equal(ours, theirs)


def test_a_real_file_does_not_have_to_beat_a_synthetic_champion(
    done: Project, project: Project, real_sample_path: Path
) -> None:
    """`make run` without data first, then with the real file: the second one takes over."""
    shutil.copytree(done.path, project.path, dirs_exist_ok=True)
    shutil.copy(real_sample_path, project.raw)
    project.run()
    promotion = project.report("promotion")
    assert promotion["promoted"] is True
    assert set(project.table("predictions")["model_version"]) == {promotion["model_version"]}


def test_every_node_and_dataset_is_in_the_catalog_with_a_layer(project: Project) -> None:
    """kedro-viz shows layers; an entry without one is forgotten, not meant."""
    from kedro.framework.project import configure_project, pipelines
    from kedro.framework.session import KedroSession

    configure_project("marvel_kedro")
    session: Any
    with KedroSession.create(project.path) as session:
        catalog = session.load_context().catalog
    for name in sorted(pipelines["__default__"].datasets()):
        if name.startswith("params:"):
            continue
        metadata: Any = getattr(catalog.get(name), "metadata", None) or {}
        assert json.dumps(metadata.get("kedro-viz", {})) != "{}", name


def test_every_node_has_a_docstring_and_a_tag() -> None:
    from kedro.framework.project import configure_project, pipelines

    configure_project("marvel_kedro")
    for node in pipelines["__default__"].nodes:
        assert node.func.__doc__, node.name
        assert node.tags, node.name


def test_kedro_viz_shows_pipelines_layers_tables_and_plots(done: Project) -> None:
    """kedro-viz loads the project without its hooks, and draws no layers if they go in circles."""
    outcome = done.kedro("viz", "build", "--include-previews")
    assert outcome.status == 0, outcome.output
    api = done.path / "build" / "api"
    shown = json.loads((api / "main").read_text())
    assert {"synthetic", "processing", "training", "serving"} <= {
        pipeline["id"] for pipeline in shown["pipelines"]
    }
    order = ["raw", "primary", "model_input", "models", "evaluation", "registry", "reporting"]
    assert [layer for layer in shown["layers"] if layer in order] == order
    previews = {
        node["name"]: json.loads((api / "nodes" / node["id"]).read_text()).get("preview")
        for node in shown["nodes"]
        if node["type"] == "data"
    }
    for name in ("characters", "predictions", "evaluation", "data_quality", "roc_plot"):
        assert previews[name], name
