"""Answers equal those of `mlflow.pyfunc` to the last bit."""

import contextlib
import json
import math
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow.pyfunc.scoring_server import invocations
from support.running_server import Server, Store, mlflow_files
from support.spooled import ANY_TEXT
from support.table import NUMBER_COLUMNS, TABLE, TEXT_COLUMNS

from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.model.packaging import conform
from marvel_kedro.model.portable.predictor import TabularModel
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table.cleaning import read_source, select_usable

mlflow_serves: Any = invocations
COLUMNS = [*TEXT_COLUMNS, *NUMBER_COLUMNS]
FORMS = ("dataframe_records", "dataframe_split", "instances", "inputs")


def body_of(form: str, frame: pd.DataFrame, missing: float | None = None) -> dict[str, Any]:
    """Return a body in a form, with null or NaN for missing values."""
    plain = frame.astype(object).where(frame.notna(), missing)
    if form == "dataframe_split":
        return {form: {"columns": list(plain), "data": plain.to_numpy().tolist()}}
    return {form: plain.to_dict("list" if form == "inputs" else "records")}


def check(served: Server, registered: Store, frame: pd.DataFrame) -> None:
    """Compare all forms, in batches and single records, with MLflow's answers."""
    model: Any = mlflow.pyfunc.load_model(mlflow_files(registered.client(), "1"))
    expected = model.predict(conform(frame, model.metadata.get_input_schema()))
    scored = list(zip(expected["prediction"], expected["probability"], strict=True))
    assert len(set(expected["probability"])) > len(frame) / 20
    with contextlib.closing(HTTPConnection("127.0.0.1", served.port, timeout=60)) as connection:
        headers = {"Content-Type": "application/json"} | served.headers

        def answers(form: str, rows: pd.DataFrame) -> list[tuple[str, float]]:
            connection.request("POST", "/invocations", json.dumps(body_of(form, rows)), headers)
            answer = connection.getresponse()
            body = answer.read()
            assert answer.status == 200, body
            return [
                (one["prediction"], one["probability"]) for one in json.loads(body)["predictions"]
            ]

        for form in FORMS:
            for size in (len(frame), 100, 32):
                found: list[tuple[str, float]] = []
                for start in range(0, len(frame), size):
                    found += answers(form, frame.iloc[start : start + size])
                assert found == scored, (form, size)
            found = [answers(form, frame.iloc[[row]])[0] for row in range(len(frame))]
            assert found == scored, form


def test_answers_equal_mlflow_for_thousand_real_rows(
    served: Server, registered: Store, real_sample_path: Path
) -> None:
    raw = pd.read_csv(real_sample_path, dtype="str", keep_default_na=False)
    frame = select_usable(read_source(raw, TABLE), TABLE)[COLUMNS].head(1000)
    assert len(frame) == 1000
    check(served, registered, frame)


@pytest.mark.parametrize("missing", [None, math.nan], ids=["null", "NaN"])
def test_all_real_rows_score_the_same_in_every_form_in_mlflow_and_here(
    served: Server, registered: Store, real_sample_path: Path, missing: float | None
) -> None:
    """MLflow makes the text "None" of a null in `inputs` and `instances`."""
    raw = pd.read_csv(real_sample_path, dtype="str", keep_default_na=False)
    frame = select_usable(read_source(raw, TABLE), TABLE)[COLUMNS]
    gaps = frame[list(TEXT_COLUMNS)].isna().any(axis=1)
    assert gaps.sum() > len(frame) / 2
    model: Any = mlflow.pyfunc.load_model(mlflow_files(registered.client(), "1"))
    scored = [
        {"prediction": prediction, "probability": probability}
        for prediction, probability in model.predict(
            conform(frame, model.metadata.get_input_schema())
        ).itertuples(index=False)
    ]
    for form in FORMS:
        body = json.dumps(body_of(form, frame, missing))
        theirs = mlflow_serves(body, "application/json", model, model.metadata.get_input_schema())
        assert json.loads(theirs.response)["predictions"] == scored, form
        headers = {"Content-Type": "application/json"}
        ours = served.ask("/invocations", "POST", data=body, headers=headers)
        assert ours.json()["predictions"] == scored, form


def test_answers_equal_mlflow_for_unseen_rows(
    served: Server, registered: Store, tmp_path: Path
) -> None:
    from marvel_kedro.datasets.raw_csv import RawCSVDataset

    raw = RawCSVDataset(filepath=str(tmp_path / "raw.csv"))
    raw.save(make_characters(SyntheticOptions(rows=400, seed=99)))
    rows = pd.read_csv(tmp_path / "raw.csv", dtype="str", keep_default_na=False)
    check(served, registered, select_usable(read_source(rows, TABLE), TABLE)[COLUMNS])


VALUES = {name: st.none() | ANY_TEXT | st.sampled_from(["<NA>", "nan", "None", "Earth-9"])
          for name in TEXT_COLUMNS} | dict.fromkeys(
    NUMBER_COLUMNS,
    st.none() | st.floats() | st.integers() | st.integers(-(10**300), 10**300)
    | st.sampled_from([0, -0.0, 1, 999_999.999999, 1e6, 5e-324, math.inf, math.nan]),
)  # fmt: skip


@given(st.lists(st.fixed_dictionaries({}, optional=VALUES), max_size=6))
def test_score_equals_predict(model: TabularModel, records: list[dict[str, Any]]) -> None:
    """Records as `protocol.conform` returns them."""
    frame = pd.DataFrame(
        {name: [record.get(name) for record in records] for name in VALUES}, dtype=object
    )
    predicted = model.predict(frame)
    expected = list(zip(predicted["prediction"], predicted["probability"], strict=True))
    assert model.score(records) == expected
    assert [row for record in records for row in model.score([record])] == expected


@pytest.mark.parametrize("column", COLUMNS)
@given(
    st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.lists(st.integers()) | st.binary()
)
def test_score_equals_predict_for_any_value(model: TabularModel, column: str, value: Any) -> None:
    """Other servers may pass any value."""
    frame = pd.DataFrame({column: pd.Series([value], dtype=object)})
    predicted = model.predict(frame)
    assert model.score([{column: value}]) == [
        (predicted["prediction"].iloc[0], predicted["probability"].iloc[0])
    ]


def test_probability_is_finite_json_number(served: Server) -> None:
    answer = served.invoke([{"name": "A"}]).json()["predictions"][0]
    assert type(answer["probability"]) is float
    assert np.isfinite(answer["probability"])
