"""The logged model in MLflow, also in a process without Kedro and this project."""

import json
import math
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from support.table import TABLE

from marvel_kedro.model.packaging import conform, log_candidate
from marvel_kedro.model.portable.predictor import TabularModel

ELSEWHERE = """
import builtins, json, pickle, sys
import pandas as pd

FORBIDDEN = ("kedro", "kedro_datasets", "kedro_mlflow", "pyspark", "marvel_kedro")
real_import = builtins.__import__

def guarded(name, *rest, **more):
    if name.split(".")[0] in FORBIDDEN:
        raise ImportError(f"{name} is forbidden")
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

SENT = [*TABLE.inputs]


@pytest.fixture
def store(empty_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(empty_store, tmp_path)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    mlflow.set_experiment("models")  # an earlier test may have used another store


@pytest.mark.usefixtures("store")
def test_model_scores_equally_without_project_and_unpickles_nothing(
    model: TabularModel, characters: pd.DataFrame, tmp_path: Path
) -> None:
    with mlflow.start_run():
        uri = log_candidate(model, "m").model_uri
    folder = mlflow.artifacts.download_artifacts(uri, dst_path=str(tmp_path / "model"))
    records = characters[SENT].head(50)
    assert records["height"].notna().any()
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
def test_signature_has_optional_inputs_and_both_outputs(model: TabularModel) -> None:
    with mlflow.start_run():
        info = log_candidate(model, "m")
    inputs = info.signature.inputs
    assert inputs.input_names() == [*TABLE.inputs]
    assert inputs.required_input_names() == []
    assert info.signature.outputs.input_names() == ["prediction", "probability"]


@pytest.mark.usefixtures("store")
def test_two_versions_in_one_process_use_their_own_code(
    model: TabularModel, characters: pd.DataFrame
) -> None:
    """A version scores with the features that it was fitted with, not with the project's."""
    source = model.code["features.py"]
    changed = source.replace("[codes]", "[codes * 0]")
    assert changed != source
    old_code = dict(model.code) | {"features.py": changed}
    old = replace(model, code=old_code)
    with mlflow.start_run():
        uris = log_candidate(model, "new").model_uri, log_candidate(old, "old").model_uri
    new_model, old_model = (mlflow.pyfunc.load_model(uri) for uri in uris)
    sent = characters[["universe", "origin", "teams"]].head(5)
    assert new_model.predict(sent)["probability"].tolist() == model.probabilities(sent).tolist()
    assert len(set(old_model.predict(sent)["probability"])) == 1
    assert new_model.predict(sent)["probability"].tolist() == model.probabilities(sent).tolist()


@pytest.fixture(scope="module")
def served(model: TabularModel, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Load the model by `mlflow.pyfunc`."""
    folder = tmp_path_factory.mktemp("served")
    shutil.copy(empty_store, folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    experiment = mlflow.create_experiment("served", artifact_location=folder.as_uri())
    with mlflow.start_run(experiment_id=experiment):
        return mlflow.pyfunc.load_model(log_candidate(model, "m").model_uri)


def test_record_scores_the_same_alone_and_in_batch(served: Any, characters: pd.DataFrame) -> None:
    batch = served.predict(characters)
    records = characters[SENT].astype(object).where(characters[SENT].notna(), None)
    for row in range(0, len(characters), 53):
        alone = served.predict([records.iloc[row].to_dict()])
        assert alone["probability"].tolist() == [batch["probability"].iloc[row]]
        assert alone["prediction"].tolist() == [batch["prediction"].iloc[row]]


@pytest.mark.parametrize("rows", [[{}], [{}, {}], [{"other": 1}]])
def test_records_without_known_field_are_rejected(served: Any, rows: list[Any]) -> None:
    """MLflow passes on neither their fields nor their number; the result must be an error."""
    with pytest.raises(MlflowException, match="at least one of universe"):
        served.predict(rows)


@pytest.mark.parametrize(
    ("record", "column"),
    [
        ({"height": 2}, "height"),
        ({"height": "1.8"}, "height"),
        ({"weight": True}, "weight"),
        ({"universe": 616}, "universe"),
        ({"origin": math.nan}, "origin"),
    ],
)
def test_signature_error_names_column_and_conform_converts_it(
    served: Any, model: TabularModel, record: dict[str, Any], column: str
) -> None:
    """Records that MLflow rejects are scored once `conform` has converted them."""
    with pytest.raises(MlflowException, match=column):
        served.predict([record])
    frame = pd.DataFrame([record])
    assert served.predict(conform(frame, served.metadata.get_input_schema()))[
        "probability"
    ].tolist() == [*model.predict(frame)["probability"]]


GAPS = [
    None,
    math.nan,
    pd.NA,
    pd.NaT,
    "None",
    "nan",
    "NaN",
    "<NA>",
    "NaT",
    "NULL",
    "N/A",
    r"\N",
    "",
]


@pytest.mark.parametrize("gap", GAPS, ids=repr)
def test_missing_text_scores_as_absent_field(served: Any, model: TabularModel, gap: Any) -> None:
    frame = pd.DataFrame({"gender": ["Female", gap], "universe": [gap, "Earth-616"]}, dtype=object)
    records: Any = frame.to_dict("records")
    expected = [
        value for _, value in model.score([{"gender": "Female"}, {"universe": "Earth-616"}])
    ]
    assert served.predict(frame)["probability"].tolist() == expected
    assert served.predict(records)["probability"].tolist() == expected
    assert (
        served.predict(conform(frame, served.metadata.get_input_schema()))["probability"].tolist()
        == expected
    )
    assert [value for _, value in model.score(records)] == expected


TWO = {"gender": ["Female", "Male"], "height": [1.8, 1.6]}
ONE_ANSWER_PER_RECORD: list[Any] = [
    TWO,
    {"gender": ("Female", "Male")},
    {"gender": np.array(["Female", "Male"])},
    {"gender": pd.Series(["Female", "Male"])},
    {"height": [1.8, 1.6]},
    {"gender": ["Female", None]},
    [{"gender": "Female"}, {"gender": "Male"}],
    np.array([("Female", 1.8), ("Male", 1.6)], dtype=[("gender", "U9"), ("height", "f8")]),
    pd.Series(["Female", "Male"], name="gender"),
    pd.DataFrame(TWO),
    pd.DataFrame(TWO).convert_dtypes(),
]
REFUSED: list[tuple[Any, str]] = [
    ({"gender": ["Female", "Male"]}, "gender.*type list"),
    ({"gender": ["Female"]}, "gender.*type list"),
    ({"gender": []}, "gender.*type list"),
    ({"gender": ["Female", "Male"], "universe": "Earth-616"}, "gender.*type list"),
    ({"gender": np.array("Female")}, "gender.*type ndarray"),
    ([{"gender": ("Female",)}, {"gender": "Male"}], "gender.*record 0.*type tuple"),
    ([{"gender": None}, {"gender": {"a": 1}}], "gender.*record 1.*type dict"),
    ([{"gender": np.array(["Female"])}], "gender.*type ndarray"),
    ([{"gender": b"Female"}], "gender.*type bytes"),
    ([{"gender": {"Female"}}], "gender.*type set"),
    # MLflow's own errors, which quote the data.
    ({"height": ["1.8", "1.6"]}, "height.*Invalid object type"),
    ([{"height": [1.8, 1.6]}], "height.*Invalid object type"),
    ([{"height": {"a": 1}}], "height.*Invalid object type"),
    ([{"height": np.array([1.8, 1.6])}], "height.*Invalid object type"),
    (({"gender": "Female"}, {"gender": "Male"}), "Found: tuple"),
    (np.array([{"gender": "Female"}, {"gender": "Male"}]), "No record has a field"),
    (np.array([["Female", "Male"]]), "No record has a field"),
    (["Female", "Male"], "No record has a field"),
    ("Female", "No record has a field"),
    (pd.Series({"gender": "Female", "height": 1.8}), "No record has a field"),
    (pd.Series([["Female"], ["Male"]], name="gender"), "gender.*type list"),
]


@pytest.mark.parametrize("records", ONE_ANSWER_PER_RECORD, ids=lambda sent: repr(sent)[:60])
def test_every_type_of_input_gets_one_answer_per_record(served: Any, records: Any) -> None:
    assert len(served.predict(records)) == 2


@pytest.mark.parametrize(("records", "message"), REFUSED, ids=lambda sent: repr(sent)[:60])
def test_value_that_is_no_text_is_refused_with_its_column(
    served: Any, records: Any, message: str
) -> None:
    """MLflow makes one record of a dictionary of lists of text."""
    with pytest.raises(MlflowException, match=message):
        served.predict(records)


def test_nulls_of_pyarrow_columns_are_missing(
    served: Any, model: TabularModel, characters: pd.DataFrame
) -> None:
    expected = model.predict(characters)["probability"].tolist()
    held = characters.convert_dtypes(dtype_backend="pyarrow")
    assert held["teams"].isna().any()
    assert served.predict(held)["probability"].tolist() == expected
    assert (
        served.predict(conform(held, served.metadata.get_input_schema()))["probability"].tolist()
        == expected
    )


def test_conform_converts_unusual_frames(
    served: Any, model: TabularModel, characters: pd.DataFrame
) -> None:
    odd = pd.DataFrame(
        {
            "identity": characters["identity"].astype("category"),
            "universe": np.arange(len(characters)),
            "height": characters["height"].map(lambda value: Decimal(str(value))),
            "weight": ["1,80", 70, "70", None, True] * (len(characters) // 5),
            "other": 1,
        },
        index=[0] * len(characters),
    )
    expected = model.predict(odd)["probability"].tolist()
    schema = served.metadata.get_input_schema()
    assert served.predict(conform(odd, schema))["probability"].tolist() == expected
    assert len(served.predict(conform(pd.DataFrame([{}, {}]), schema))) == 2
