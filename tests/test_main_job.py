"""The main job from end to end: outputs of a run, and changes by a second run."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pyarrow.parquet as pq
import pytest
from mlflow import MlflowClient
from pandas.testing import assert_frame_equal
from support.project import Project
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.options import EvaluationOptions, FitOptions, GateOptions
from marvel_kedro.project import parameters
from marvel_kedro.project.config_loader import ConfigLoader
from marvel_kedro.serving.lookup import Lookup
from marvel_kedro.settings import CONFIG_LOADER_ARGS
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table.options import SplitOptions

FIXED_TIME = {"serving": {"scored_at": "2026-01-01T00:00:00+00:00"}}
TABLES = ("records", "rejected_records", "train_set", "test_set", "predictions")


def booster(project: Project) -> bytes:
    version = project.champion()
    mlflow.set_tracking_uri(f"sqlite:///{project.path}/mlflow.db")
    folder = mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.version}")
    return (Path(folder) / "artifacts" / "model" / "booster.txt").read_bytes()


@pytest.fixture(scope="module")
def done(template: Path, synthetic_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project with an odd name in which the main job ran once."""
    project = Project(tmp_path_factory.mktemp("main") / "a #;ü'%")
    shutil.copytree(template, project.path)
    shutil.copy(synthetic_path, project.raw)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        project.run(**FIXED_TIME)
    return project


def test_tables_add_up(done: Project) -> None:
    rows = {name: len(done.table(name)) for name in TABLES}
    assert rows["records"] + rows["rejected_records"] == 3000
    assert rows["train_set"] + rows["test_set"] == rows["records"] == rows["predictions"]
    assert list(done.table("records").columns) == list(TABLE.columns)
    assert done.report("data_quality")["rows_in"] == 3000
    assert list(done.path.parent.iterdir()) == [done.path]


def test_tables_have_no_index_column_of_pandas(done: Project) -> None:
    """Polars, DuckDB and Spark show an index that pandas stored as one more column."""
    files = list(done.path.glob("data/*/*.parquet"))
    assert {file.stem for file in files} >= {*TABLES, "test_scores"}
    for file in files:
        assert not [name for name in pq.read_schema(file).names if name.startswith("__")], file


def test_first_candidate_becomes_champion(done: Project) -> None:
    promotion = done.report("promotion")
    assert promotion["promoted"] is True
    assert promotion["model_version"] == "1"
    model = done.client().get_registered_model("marvel_characters")
    assert {alias: str(v) for alias, v in model.aliases.items()} == {"champion": "1"}
    assert set(done.table("predictions")["model_version"]) == {"1"}


def test_run_links_parameters_tables_metrics_and_model(done: Project) -> None:
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


def test_run_has_reports_and_plots_as_artifacts(done: Project) -> None:
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


def test_gate_checks_are_a_table(done: Project) -> None:
    checks = pd.read_csv(done.path / "data" / "08_reporting" / "gate_checks.csv")
    recorded = pd.DataFrame(done.report("promotion")["checks"])
    assert_frame_equal(checks, recorded, rtol=1e-9)
    assert {"constant_gain", "regression_gain", "calibration_error"} <= set(checks["check"])


def test_predictions_are_those_of_the_champion(done: Project) -> None:
    mlflow.set_tracking_uri(f"sqlite:///{done.path}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/marvel_characters@champion")
    characters = done.table("records")
    predictions = done.table("predictions")
    assert predictions["page_id"].to_list() == sorted(characters["page_id"])
    scored = model.predict(characters).assign(page_id=characters["page_id"])
    expected = scored.sort_values("page_id", ignore_index=True)
    assert_frame_equal(predictions[["prediction", "probability", "page_id"]], expected)
    assert (predictions["scored_at"] == pd.Timestamp("2026-01-01", tz="UTC")).all()


def test_online_records_give_the_predictions_of_the_batch(done: Project) -> None:
    characters = done.table("records")
    lookup = Lookup(done.path / "data" / "07_model_output" / "online_records.db", TABLE)
    records = lookup.complete(
        [{"page_id": page} for page in characters["page_id"]], TABLE.inputs.keys()
    )
    mlflow.set_tracking_uri(f"sqlite:///{done.path}/mlflow.db")
    model = mlflow.pyfunc.load_model("models:/marvel_characters@champion")
    expected = done.table("predictions").set_index("page_id")["probability"]
    found = model.predict(pd.DataFrame(records))["probability"].set_axis(characters["page_id"])
    assert found.to_dict() == expected.to_dict()


def test_second_run_changes_no_table_alias_or_version(done: Project) -> None:
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


def test_training_alone_works_on_existing_tables(done: Project) -> None:
    done.run("training")
    assert done.report("promotion")["promoted"] is False


def test_order_of_rows_changes_neither_split_nor_booster(done: Project, project: Project) -> None:
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


def test_model_of_real_data_replaces_synthetic_champion_without_comparison(
    done: Project, project: Project, real_sample_path: Path
) -> None:
    """`make run` without data first, then with the real file."""
    shutil.copytree(done.path, project.path, dirs_exist_ok=True)
    shutil.copy(real_sample_path, project.raw)
    project.run()
    promotion = project.report("promotion")
    assert promotion["promoted"] is True
    assert set(project.table("predictions")["model_version"]) == {promotion["model_version"]}


def test_model_of_synthetic_data_never_replaces_champion_of_real_data(
    project: Project, synthetic_path: Path, real_sample_path: Path
) -> None:
    shutil.copy(real_sample_path, project.raw)
    project.run()
    shutil.copy(synthetic_path, project.raw)
    with pytest.raises(ProjectError, match="synthetic rows would replace them"):
        project.run()
    model = project.client().get_registered_model("marvel_characters")
    assert {alias: str(v) for alias, v in model.aliases.items()} == {"champion": "1"}


def test_champion_is_compared_on_rows_that_it_was_not_trained_on(
    done: Project, project: Project
) -> None:
    """With another split, most of the new test rows are the champion's training rows."""
    shutil.copytree(done.path, project.path, dirs_exist_ok=True)
    project.run(processing={"split": {"by": "group", "test_share": 0.4}})
    scores = project.table("test_scores")
    before = set(done.table("test_set")["page_id"])
    fair = scores["page_id"].isin(before)
    assert 0 < fair.sum() < len(scores)
    assert (scores["champion"].notna() == fair).all()
    checks = {check["check"]: check for check in project.report("promotion")["checks"]}
    assert checks["comparable_rows"]["value"] == fair.sum()
    evaluation = pd.read_csv(project.path / "data" / "08_reporting" / "evaluation.csv")
    rows = evaluation[evaluation["slice_key"].isna()].groupby("model")["rows"].first()
    assert rows["champion"] == fair.sum()
    assert rows["candidate"] == len(scores)


def test_kedro_run_makes_missing_raw_file(project: Project) -> None:
    outcome = project.cli("--params", "synthetic.rows=2000")
    assert outcome.status == 0, outcome.output
    assert len(pd.read_csv(project.raw)) == 2000
    assert project.champion().tags["data_source"] == "synthetic"


def test_kedro_run_makes_no_raw_file_with_stand_in_false(project: Project) -> None:
    outcome = project.cli("--params", "synthetic.stand_in=false")
    assert outcome.status == 1
    assert "There is no raw file at" in outcome.output
    assert not project.raw.exists()


def test_params_set_rows_seed_and_drift_of_the_synthetic_file(project: Project) -> None:
    def made(params: str) -> bytes:
        outcome = project.cli("--pipelines", "synthetic", "--params", params)
        assert outcome.status == 0, outcome.output
        return project.raw.read_bytes()

    first = made("synthetic.rows=3000")
    assert first.count(b"\n") == 3001
    assert made("synthetic.rows=3000") == first
    seeded = made("synthetic.rows=3000,synthetic.seed=7")
    drift = "synthetic.drift.scenario=concept,synthetic.drift.magnitude=1"
    drifted = made(f"synthetic.rows=3000,{drift}")
    assert len({first, seeded, drifted}) == 3


def test_environment_overrides_single_keys_and_each_is_logged_once(
    done: Project, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kedro-mlflow alone would log a section again for every node that has it."""
    logged: list[str] = []

    def log(client: MlflowClient, run_id: str, key: str, *value: Any, **others: Any) -> Any:
        logged.append(key)
        return log_param(client, run_id, key, *value, **others)

    log_param = MlflowClient.log_param
    monkeypatch.setattr(MlflowClient, "log_param", log)
    shutil.copy(done.raw, project.raw)
    local = project.path / "conf" / "local" / "training"
    local.mkdir(parents=True)
    (local / "parameters.yml").write_text("training: {fit: {max_trees: 30}}\n")
    project.run(**FIXED_TIME)
    run: Any = project.client().get_run(project.champion().run_id)
    assert run.data.params["training.fit.max_trees"] == "30"
    assert run.data.params["training.fit.seed"] == "42"
    assert sorted(logged) == sorted(run.data.params)


def test_several_commands_share_one_mlflow_run(done: Project, project: Project) -> None:
    shutil.copy(done.raw, project.raw)
    client = project.client()
    experiment = client.create_experiment(
        "marvel_characters", artifact_location=(project.path / "mlartifacts").as_uri()
    )
    run_id = client.create_run(experiment).info.run_id
    for minute, pipeline in enumerate(["processing", "training", "training", "serving"]):
        clock = {"trained_at": f"2026-01-02T00:0{minute}:00Z"}  # a retry comes later
        project.run(pipeline, mlflow_run_id=run_id, training=clock)
    (run,) = client.search_runs([experiment])
    assert run.data.tags["training.trained_at"] == "2026-01-02T00:02:00+00:00"
    assert not {"training.trained_at", "serving.scored_at"} & set(run.data.params)
    assert not [name for name in run.data.params if "origin.git" in name]
    assert run.info.run_id == run_id == project.champion().run_id
    assert {"data_quality.rows_in", "test.roc_auc"} <= set(run.data.metrics)


def test_conf_and_code_have_the_same_defaults(project: Project) -> None:
    """Benchmarks use the defaults of the code."""
    arguments: dict[str, Any] = CONFIG_LOADER_ARGS
    configured = ConfigLoader(str(project.path / "conf"), **arguments)["parameters"]
    options = parameters.check(configured)
    assert options.training.fit == FitOptions()
    assert options.training.gate == GateOptions()
    assert options.training.evaluation == EvaluationOptions()
    assert options.processing.split == SplitOptions()
    assert options.synthetic == SyntheticOptions()


def test_alert_rule_on_a_column_without_metrics_is_rejected(project: Project) -> None:
    """The rule would never fire: it names a column of another table, or a mistyped one."""
    arguments: dict[str, Any] = CONFIG_LOADER_ARGS
    configured = ConfigLoader(str(project.path / "conf"), **arguments)["parameters"]
    columns = configured["monitoring"]["columns"]
    columns["tariff"] = columns.pop("universe")
    with pytest.raises(ProjectError, match=r"input_drift.columns names universe, which"):
        parameters.check(configured)
    configured["monitoring"]["computed_by"] = "databricks"
    parameters.check(configured)


def test_every_node_and_dataset_is_in_the_catalog_with_a_layer(project: Project) -> None:
    """kedro-viz shows layers."""
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
        assert metadata.get("kedro-viz", {}).get("layer"), name


def test_every_node_has_a_docstring_and_a_tag() -> None:
    from kedro.framework.project import configure_project, pipelines

    configure_project("marvel_kedro")
    for node in pipelines["__default__"].nodes:
        assert node.func.__doc__, node.name
        assert node.tags, node.name


def test_kedro_viz_shows_pipelines_layers_tables_and_plots(done: Project) -> None:
    """kedro-viz loads the project without hooks, and draws no layers if they form a cycle."""
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
    shown_there = {name for name, preview in previews.items() if preview}
    assert shown_there >= {
        *("raw_table", *TABLES, "test_scores"),
        *("evaluation", "gate_checks", "promotion", "data_quality", "test_metrics"),
        *("roc_plot", "calibration_plot", "confusion_plot", "importance_plot"),
        *("champion", "model_card_markdown"),
    }
    for name in ("monitoring", "alerting", "reporting", "ab_test", "retraining"):
        assert json.loads((api / "pipelines" / name).read_text())["layers"], name
