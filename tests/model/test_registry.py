"""Versions and aliases in a local MLflow registry."""

import shutil
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import registry
from marvel_kedro.model.aliases import move_alias
from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.model.registry import LoggedModel
from marvel_kedro.table.options import RecordedSplit

NAME = "characters"


@pytest.fixture
def logged(model: TabularModel, empty_store: Path, tmp_path: Path) -> LoggedModel:
    """Log a model in a store of its own."""
    shutil.copy(empty_store, tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = mlflow.create_experiment("e", artifact_location=(tmp_path / "files").as_uri())
    with mlflow.start_run(experiment_id=experiment) as run:
        uri = log_candidate(model, "m").model_uri
    return LoggedModel(uri, run.info.run_id, model.digest)


def register(logged: LoggedModel, digest: str = "", **split: Any) -> str:
    tags = registry.version_tags(
        logged, "file", "0" * 16, RecordedSplit(**{"column": "page_id"} | split)
    )
    return registry.register(NAME, logged.uri, tags | ({"model_digest": digest} if digest else {}))


def aliases() -> dict[str, str]:
    model = MlflowClient().get_registered_model(NAME)
    return {alias: str(version) for alias, version in model.aliases.items()}


def test_equal_digest_registers_one_version(logged: LoggedModel) -> None:
    assert [register(logged), register(logged, "other"), register(logged)] == ["1", "2", "1"]


def test_equal_trees_for_another_target_are_another_version(logged: LoggedModel) -> None:
    """Otherwise the champion of the other table would be found, and score no records of this."""
    tags = registry.version_tags(logged, "file", "0" * 16, RecordedSplit(column="page_id"))
    words = TABLE.target.model_copy(update={"words": {"Lives": "Alive"}})
    renamed = TABLE.model_copy(update={"target": words})
    found = [
        registry.register(NAME, logged.uri, tags | {registry.TABLE_TAG: table.fingerprint})
        for table in (TABLE, renamed, TABLE)
    ]
    assert found == ["1", "2", "1"]


def test_version_has_split_and_data_source(logged: LoggedModel) -> None:
    split: dict[str, Any] = {"by": "group", "test_share": 0.3, "column": "name"}
    move_alias(NAME, "champion", register(logged, **split))
    champion = registry.find(NAME, "champion")
    assert champion
    assert champion.split == RecordedSplit(by="group", test_share=0.3, column="name")
    assert champion.data_source == "file"
    rows = pd.DataFrame({"page_id": ["a", "b"], "name": ["N", "N"]})
    assert len(set(champion.is_unseen(rows, TABLE))) == 1, "rows of a name are on one side"
    with pytest.raises(ProjectError, match=r"Version 1 of characters [^§]* split by name, which"):
        champion.is_unseen(rows.drop(columns="name"), TABLE)


def test_promotion_deletes_challenger_alias(logged: LoggedModel) -> None:
    for digest in "abc":
        register(logged, digest)
    move_alias(NAME, "champion", "1")
    move_alias(NAME, "challenger", "2")
    assert aliases() == {"champion": "1", "challenger": "2"}
    move_alias(NAME, "champion", "3")
    assert aliases() == {"champion": "3"}


def test_moved_alias_deletes_traffic_tags_and_no_others(logged: LoggedModel) -> None:
    """The next challenger must not inherit the traffic of the previous one."""
    move_alias(NAME, "champion", register(logged))
    client = MlflowClient()
    tag = "endpoint.one.traffic"
    client.set_registered_model_tag(NAME, tag, '{"champion": 0, "challenger": 100}')
    client.set_registered_model_tag(NAME, "endpoint", "kept")
    move_alias(NAME, "champion", "1")
    assert tag in client.get_registered_model(NAME).tags
    move_alias(NAME, "challenger", "1")
    assert client.get_registered_model(NAME).tags == {"endpoint": "kept"}


def test_find_returns_none_without_model_or_alias(logged: LoggedModel) -> None:
    assert registry.find(NAME, "champion") is None
    register(logged)
    assert registry.find(NAME, "champion") is None


def test_error_for_champion_with_deleted_files_names_remedy(
    logged: LoggedModel, tmp_path: Path
) -> None:
    move_alias(NAME, "champion", register(logged))
    shutil.rmtree(tmp_path / "files")
    with pytest.raises(ProjectError, match="its files cannot be loaded") as fault:
        registry.find(NAME, "champion")
    assert "make clean" in str(fault.value)


def test_error_without_text_is_named_by_its_type(
    logged: LoggedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: str) -> None:
        raise ZeroDivisionError

    move_alias(NAME, "champion", register(logged))
    monkeypatch.setattr(mlflow.pyfunc, "load_model", fail)
    with pytest.raises(ProjectError, match=r"cannot be loaded \(ZeroDivisionError\)"):
        registry.find(NAME, "champion")


def test_champion_scores_records_of_any_type(logged: LoggedModel, model: TabularModel) -> None:
    move_alias(NAME, "champion", register(logged))
    champion = registry.find(NAME, "champion")
    assert champion
    records = pd.DataFrame([{"height": 2, "page_id": "x"}, {}], dtype=object)
    expected = model.predict(records)["probability"].tolist()
    assert champion.predict(records)["probability"].tolist() == expected
