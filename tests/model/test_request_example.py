"""The request that a model of any origin answers, made from the files of real MLflow models."""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel

from marvel_kedro.model.request_example import MLMODEL, input_fields, request_body
from marvel_kedro.serving.http.content import JSON
from marvel_kedro.serving.models import loaded_model

TYPES = pd.DataFrame(
    {
        "amount": [1.5, 2.0],
        "visits": [1, 2],
        "tariff": ["a", "b"],
        "partner": [True, False],
        "joined": pd.to_datetime(["2024-05-06", "2024-05-07"]),
        "a b": [np.float32(1), np.float32(2)],
    }
)
TENSOR = np.array([[1.0, 2.0]])


class Count(PythonModel):
    """A model that answers with the number of rows."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002
        return [len(model_input)] * len(model_input)


def saved(folder: Path, **options: Any) -> Path:
    mlflow.pyfunc.save_model(
        folder / "model", python_model=Count(), pip_requirements=["mlflow"], **options
    )
    return folder / "model"


def body_of(folder: Path) -> dict[str, Any] | None:
    described = yaml.safe_load((folder / MLMODEL).read_text())
    return request_body(described, lambda path: (folder / path).read_bytes())


@pytest.mark.parametrize(
    ("options", "forms"),
    [
        ({"input_example": TYPES}, {"dataframe_records"}),
        ({"signature": infer_signature(TYPES)}, {"dataframe_records"}),
        ({"input_example": TENSOR}, {"inputs"}),
        ({"input_example": [{"amount": 1.0, "tariff": "a"}]}, None),
    ],
    ids=["example", "signature", "tensor", "records"],
)
def test_body_works_unchanged(
    tmp_path: Path, options: dict[str, Any], forms: set[str] | None
) -> None:
    folder = saved(tmp_path, **options)
    body = body_of(folder)
    assert body
    assert forms is None or body.keys() == forms
    served = loaded_model.load(folder)
    assert served.invoke
    _, predictions = served.invoke(json.dumps(body).encode(), JSON)
    assert len(predictions) == 1
    assert served.interface.example == body


def test_model_without_example_and_signature_has_no_body(tmp_path: Path) -> None:
    folder = saved(tmp_path)
    assert body_of(folder) is None
    assert input_fields(yaml.safe_load((folder / MLMODEL).read_text())) == ()


@pytest.mark.parametrize("content", ["", "[1]", "{", "null"])
def test_lost_example_is_made_from_the_signature(tmp_path: Path, content: str) -> None:
    folder = saved(tmp_path, input_example=TYPES[["amount", "tariff"]])
    (folder / "serving_input_example.json").write_text(content)
    assert body_of(folder) == {"dataframe_records": [{"amount": 1.0, "tariff": "text"}]}


@pytest.mark.parametrize(
    "content",
    [
        '{"dataframe_split": {"data": [[1]]}}',
        '{"dataframe_split": {"columns": [0, 1], "data": [[1, 2]]}}',
        '{"dataframe_records": [[1]]}',
        '{"instances": [1]}',
    ],
)
def test_example_without_named_columns_stays_as_it_is(tmp_path: Path, content: str) -> None:
    folder = saved(tmp_path, input_example=TENSOR)
    (folder / "serving_input_example.json").write_text(content)
    assert body_of(folder) == json.loads(content)
