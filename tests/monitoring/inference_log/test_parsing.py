"""Parsing of the inference table, request by request."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from support.examples import at_most
from support.inference_traffic import FORMS, PAYLOAD_SCHEMA, START, answer, body, make_traffic
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.monitoring.inference_log import parsing

RECORD_COLUMNS = [
    *parsing.REQUEST_COLUMNS,
    *("record_number", TABLE.key, *TABLE.inputs, "prediction", "probability"),
]
RECORDS: list[dict[str, Any]] = [
    {"page_id": "One", "universe": "Earth-616", "height": 1.8},
    {"page_id": "Two", "universe": None, "height": None},
]
ANSWER = answer([0.9, 0.2])


def row(**fields: Any) -> dict[str, Any]:
    return {
        "databricks_request_id": "r1",
        "request_date": START.date(),
        "client_request_id": "c1",
        "request_time": START,
        "status_code": 200,
        "sampling_fraction": 1.0,
        "execution_duration_ms": 7,
        "request": body("dataframe_records", RECORDS),
        "response": ANSWER,
        "logging_error_codes": None,
        "served_entity_id": "a",
        "requester": None,
    } | fields


def parse(*rows: dict[str, Any]) -> parsing.InferenceLog:
    return parsing.parse_payload(pd.DataFrame(list(rows), columns=PAYLOAD_SCHEMA.names), TABLE)


@pytest.mark.parametrize(
    "request_body",
    [
        *(body(form, RECORDS) for form in FORMS),
        json.dumps({"inputs": RECORDS}),
        json.dumps({"instances": json.loads(body("inputs", RECORDS))["inputs"]}),
        json.dumps({"dataframe_records": RECORDS, "client_request_id": "c1", "params": {}}),
    ],
    ids=[*FORMS, "inputs, records", "instances, columns", "with extras"],
)
def test_every_form_of_a_request_gives_the_same_records(request_body: str) -> None:
    log = parse(row(request=request_body))
    assert log.rejected.empty
    records = log.records
    assert list(records.columns) == RECORD_COLUMNS
    assert records["page_id"].tolist() == ["One", "Two"]
    assert records["record_number"].tolist() == [0, 1]
    assert records["prediction"].tolist() == ["Alive", "Dead"]
    assert records["probability"].tolist() == [0.9, 0.2]
    assert records["height"].tolist()[0] == 1.8
    assert records[["universe", "height"]].isna().to_numpy().tolist() == [[False] * 2, [True] * 2]
    assert set(records["execution_duration_ms"]) == {7}


def test_object_of_values_is_one_record() -> None:
    log = parse(row(request=json.dumps({"inputs": RECORDS[0]}), response=answer([0.7])))
    assert log.records["page_id"].tolist() == ["One"]


def test_record_fields_and_types_are_those_of_the_signature() -> None:
    kinds = parse(row()).records.dtypes
    assert {str(kinds[column]) for column in ("name", "origin", "page_id")} == {"str"}
    assert {str(kinds[column]) for column in ("height", "weight", "probability")} == {"float64"}


def test_value_of_another_type_is_converted_as_the_model_does() -> None:
    odd = [{"page_id": 5, "universe": "\ud800", "teams": ["X"], "height": "1.80", "weight": "6 kg"}]
    (record,) = parse(
        row(request=body("dataframe_records", odd), response=answer([0.5]))
    ).records.to_dict(orient="records")
    assert (record["page_id"], record["universe"], record["height"]) == ("5", "?", 1.8)
    assert pd.isna(record["teams"])
    assert np.isnan(record["weight"])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"databricks_request_id": None}, "it has no id"),
        ({"status_code": 429, "response": "{}"}, "it was not answered: status 429"),
        ({"status_code": None}, "it was not answered: no status"),
        ({"request": None}, "the request was not logged"),
        (
            {"request": None, "logging_error_codes": ["MAX_REQUEST_SIZE_EXCEEDED"]},
            "the request was not logged: MAX_REQUEST_SIZE_EXCEEDED",
        ),
        ({"response": None}, "the response was not logged"),
        ({"request": "{"}, "the request is not JSON"),
        ({"request": "[" * 100_000}, "the request is not JSON"),
        ({"response": "[]"}, "the response is not a JSON object"),
        ({"request": "{}"}, "the request does not have exactly one of"),
        (
            {"request": '{"inputs": [], "instances": []}'},
            "the request does not have exactly one of",
        ),
        ({"request": '{"inputs": [1, 2]}'}, "inputs is not a list of records"),
        ({"request": '{"inputs": {"a": [1], "b": [1, 2]}}'}, "its columns differ in length"),
        ({"request": '{"dataframe_split": [1]}'}, "dataframe_split has no columns and data"),
        (
            {"request": '{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}'},
            "the values of a row do not match",
        ),
        ({"response": answer([0.5])}, "2 records and 1 predictions"),
        ({"request": '{"inputs": []}', "response": answer([])}, "it has no records"),
        ({"response": '{"predictions": [1, 2]}'}, "predictions is not a list of records"),
        ({"response": ANSWER.replace("0.9", "1.5")}, "a prediction is not Alive or Dead"),
        ({"response": ANSWER.replace("0.9", "NaN")}, "a prediction is not Alive or Dead"),
        ({"response": ANSWER.replace("Alive", "Maybe")}, "a prediction is not Alive or Dead"),
    ],
)
def test_unreadable_request_is_rejected_with_its_reason(
    fields: dict[str, Any], reason: str
) -> None:
    log = parse(row(**fields), row(databricks_request_id="r2"))
    assert reason in log.rejected["reason"].item()
    assert log.records["databricks_request_id"].tolist() == ["r2", "r2"]
    assert len(log.requests) == 2


def test_duplicates_count_once_whatever_the_order_of_rows() -> None:
    payload = make_traffic(days=3, requests_a_day=60).payload.to_pandas()
    once = parsing.parse_payload(payload, TABLE)
    twice = parsing.parse_payload(
        pd.concat([payload, payload]).sample(frac=1, random_state=1), TABLE
    )
    for name in ("requests", "records", "rejected"):
        assert_frame_equal(getattr(twice, name), getattr(once, name))
    used = set(once.records["databricks_request_id"])
    rejected = set(once.rejected["databricks_request_id"])
    assert not used & rejected
    assert used | rejected == set(payload["databricks_request_id"])


def test_smoke_requests_of_a_deployment_are_skipped() -> None:
    payload = make_traffic(days=1, requests_a_day=20).payload.to_pandas()
    payload.loc[payload.index[:3], "client_request_id"] = parsing.SMOKE_REQUEST
    payload.loc[payload.index[3], "client_request_id"] = None
    ids = set(parsing.parse_payload(payload, TABLE).requests["databricks_request_id"])
    assert ids == set(payload["databricks_request_id"][3:])


def test_empty_table_has_all_columns_and_types() -> None:
    empty = parsing.parse_payload(PAYLOAD_SCHEMA.empty_table().to_pandas(), TABLE)
    assert list(empty.records.columns) == RECORD_COLUMNS
    own = [name for name in empty.records if name not in parsing.REQUEST_COLUMNS]
    assert_frame_equal(empty.records[own], parse(row()).records[own].head(0))
    assert len(empty.requests) == len(empty.rejected) == 0


def test_error_names_missing_columns() -> None:
    with pytest.raises(ProjectError, match="lacks status_code, response"):
        parsing.parse_payload(
            pd.DataFrame([row()]).drop(columns=["status_code", "response"]), TABLE
        )


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(FORMS) | st.text(),
    json_values | st.lists(st.dictionaries(st.sampled_from(["page_id", "height"]), json_values)),
    json_values,
)
def test_any_json_body_is_parsed_or_rejected(form: str, value: Any, predictions: Any) -> None:
    request, response = json.dumps({form: value}), json.dumps({"predictions": predictions})
    log = parse(row(request=request, response=response), row(request=request, response=ANSWER))
    assert set(log.records["databricks_request_id"]) | set(
        log.rejected["databricks_request_id"]
    ) == {"r1"}


@at_most(50)
@given(
    st.lists(st.tuples(st.text(), st.floats(0.01, 1e5), st.floats(0, 1)), min_size=1, max_size=5),
    st.sampled_from(FORMS),
)
def test_records_and_predictions_are_parsed_back_unchanged(
    rows: list[tuple[str, float, float]], form: str
) -> None:
    records = [{"name": name, "height": height} for name, height, _ in rows]
    log = parse(row(request=body(form, records), response=answer([p for *_, p in rows])))
    found = log.records
    assert found["name"].tolist() == [name for name, *_ in rows]
    assert found["height"].tolist() == [height for _, height, _ in rows]
    assert found["probability"].tolist() == [p for *_, p in rows]
