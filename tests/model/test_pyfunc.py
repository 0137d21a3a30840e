"""The logged model elsewhere: another process, another folder, no Kedro, nothing unpickled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from marvel_kedro.model import scoring
from marvel_kedro.model.package import log_candidate
from marvel_kedro.model.scoring import CharacterModel

ELSEWHERE = """
import builtins, json, pickle, sys
import pandas as pd

FORBIDDEN = ("kedro", "kedro_datasets", "kedro_mlflow", "pyspark", "marvel_kedro")
real_import = builtins.__import__

def guarded(name, *rest, **more):
    if name.split(".")[0] in FORBIDDEN:
        raise ImportError(f"{name} is not here")
    return real_import(name, *rest, **more)

builtins.__import__ = guarded

import mlflow

def refuse(*_, **__):
    raise AssertionError("something was unpickled")

pickle.load = pickle.loads = pickle.Unpickler = refuse
import cloudpickle
cloudpickle.load = cloudpickle.loads = refuse

model = mlflow.pyfunc.load_model(sys.argv[1])
scored = model.predict(pd.read_json(sys.argv[2], orient="records", dtype=False))
print(json.dumps(scored["probability"].tolist()))
assert not set(FORBIDDEN) & set(sys.modules), set(FORBIDDEN) & set(sys.modules)
"""

SENT = ["name", "universe", "identity", "gender", "marital_status", "teams", "origin"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_experiment("models")  # another store may have been in use before


@pytest.mark.usefixtures("store")
def test_it_scores_elsewhere_to_the_last_bit(
    model: CharacterModel, characters: pd.DataFrame, tmp_path: Path
) -> None:
    with mlflow.start_run():
        uri = log_candidate(model, "m").model_uri
    folder = mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "model"))
    records = characters[SENT].head(50)
    records.to_json(tmp_path / "records.json", orient="records")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, folder, str(tmp_path / "records.json")],
        cwd=elsewhere,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTHONPATH")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == model.probabilities(records).tolist()
    files = {path.suffix for path in Path(folder).rglob("*") if path.is_file()}
    assert not files & {".pkl", ".pickle", ".joblib"}, files


@pytest.mark.usefixtures("store")
def test_the_signature_says_what_goes_in_and_out(model: CharacterModel) -> None:
    with mlflow.start_run():
        info = log_candidate(model, "m")
    inputs = info.signature.inputs
    assert inputs.input_names() == [*scoring.TEXT_COLUMNS, *scoring.NUMBER_COLUMNS]
    assert inputs.required_input_names() == []
    assert info.signature.outputs.input_names() == ["prediction", "probability"]


@pytest.mark.usefixtures("store")
def test_two_versions_in_one_process_keep_their_own_code(
    model: CharacterModel, characters: pd.DataFrame
) -> None:
    """A version scores with the features that it was fitted with, whatever the project does now."""
    old_code = model.code.replace("return block[codes]", "return np.zeros_like(block[codes])")
    assert old_code != model.code
    old = CharacterModel(model.booster_text, model.encoder, model.threshold, old_code)
    with mlflow.start_run():
        uris = log_candidate(model, "new").model_uri, log_candidate(old, "old").model_uri
    new_model, old_model = (mlflow.pyfunc.load_model(uri) for uri in uris)
    sent = characters[SENT].head(5)
    assert new_model.predict(sent)["probability"].tolist() == model.probabilities(sent).tolist()
    assert len(set(old_model.predict(sent)["probability"])) == 1
    assert new_model.predict(sent)["probability"].tolist() == model.probabilities(sent).tolist()
