"""A model whose code is one file, `scoring.py`, loads and serves as before.

`previous_model/` is such a model as MLflow wrote it, fitted to 400 synthetic rows, with the
predictions that its own code made of the records in `predictions.json`.
"""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient

from marvel_kedro.model import registry
from marvel_kedro.model.aliases import move_alias
from marvel_kedro.model.batch import score
from marvel_kedro.model.packaging import conform
from marvel_kedro.model.registry import LoggedModel
from marvel_kedro.serving.models import loaded_model
from marvel_kedro.table.options import RecordedSplit

NAME = "characters"


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    folder = Path(__file__).with_name("previous_model")
    found: dict[str, Any] = json.loads((folder / "predictions.json").read_text("utf-8"))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Copy the model: loading compiles its code beside it."""
    shutil.copytree(Path(__file__).with_name("previous_model"), tmp_path / "model")
    (tmp_path / "model" / "predictions.json").unlink()
    return tmp_path / "model"


def through_pyfunc(folder: Path, records: list[dict[str, Any]]) -> list[tuple[str, float]]:
    model = mlflow.pyfunc.load_model(str(folder))
    return pairs(model.predict(conform(pd.DataFrame(records), model.metadata.get_input_schema())))


def as_champion(folder: Path, records: list[dict[str, Any]]) -> list[tuple[str, float]]:
    mlflow.set_tracking_uri(f"sqlite:///{folder.parent}/mlflow.db")
    client = MlflowClient()
    client.create_registered_model(NAME)
    logged = LoggedModel(folder.as_uri(), "run", "digest")
    tags = registry.version_tags(logged, "synthetic", "0" * 16, RecordedSplit(column="page_id"))
    version = client.create_model_version(NAME, source=folder.as_uri(), tags=tags)
    move_alias(NAME, "champion", str(version.version))
    champion = registry.find(NAME, "champion")
    assert champion
    rows = pd.DataFrame(records)
    scored = score(rows.assign(page_id="p"), "page_id", champion, datetime.now(UTC))
    assert pairs(scored) == pairs(champion.predict(rows))
    return pairs(scored)


def in_server(folder: Path, records: list[dict[str, Any]]) -> list[tuple[str, float]]:
    assert loaded_model.check(folder)
    served = loaded_model.load(folder)
    assert served.is_own
    assert served.score(records[:1]) == served.score(records)[:1]
    return served.score(records)


def pairs(scored: pd.DataFrame) -> list[tuple[str, float]]:
    return list(zip(scored["prediction"], scored["probability"], strict=True))


@pytest.mark.parametrize("load_and_score", [through_pyfunc, as_champion, in_server])
def test_model_with_one_code_file_predicts_as_recorded(
    folder: Path,
    expected: dict[str, Any],
    load_and_score: Callable[[Path, list[dict[str, Any]]], list[tuple[str, float]]],
) -> None:
    scored = load_and_score(folder, expected["records"])
    assert [prediction for prediction, _ in scored] == expected["predictions"]
    assert [value for _, value in scored] == pytest.approx(expected["probabilities"], rel=1e-12)
    assert len(set(expected["probabilities"])) > 5
