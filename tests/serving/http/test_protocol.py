"""Parsing of any body, and agreement with MLflow's scoring server."""

import copy
import json
import logging
import math
from collections.abc import Iterator
from typing import Any

import mlflow
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server
from support.examples import at_most
from support.in_process import InProcess
from support.running_server import Store, mlflow_files
from support.table import NUMBER_COLUMNS, TEXT_COLUMNS

from marvel_kedro.serving.http import protocol
from marvel_kedro.serving.http.errors import RequestError
from marvel_kedro.serving.http.protocol import FORMS, Kind

SCHEMA: dict[str, Kind] = dict.fromkeys(TEXT_COLUMNS, "string")
SCHEMA |= dict.fromkeys(NUMBER_COLUMNS, "double")
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates too
NAMES = st.sampled_from([*SCHEMA, "page_id", "shoe"]) | ANY_TEXT
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4)
)
RECORDS = st.lists(st.dictionaries(NAMES, SCALARS, max_size=9), max_size=5)
ALMOST = st.dictionaries(
    st.sampled_from([*FORMS, "params", "client_request_id"]),
    ANY_JSON
    | RECORDS
    | st.fixed_dictionaries(
        {"columns": st.lists(NAMES, max_size=3), "data": st.lists(st.lists(SCALARS, max_size=3))}
    ),
    min_size=1,
    max_size=2,
)
MISSING = st.sampled_from([None, math.nan, "None", "nan", "<NA>", "NaT", "NULL", " na ", ""])
TEXTS = MISSING | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.none() | st.floats() | st.integers(-(10**20), 10**20) | st.floats(0.1, 999).map(str)
GOOD = dict.fromkeys(TEXT_COLUMNS, TEXTS) | dict.fromkeys(NUMBER_COLUMNS, NUMBERS)


def forms_of(records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return records, which have the same fields, in each form."""
    columns = list(records[0]) if records else []
    return {
        "dataframe_records": records,
        "instances": records,
        "dataframe_split": {
            "columns": columns,
            "data": [[record[name] for name in columns] for record in records],
        },
        "inputs": {name: [record[name] for record in records] for name in columns},
    }


def same_fields(max_size: int = 5) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Draw records that all have the same fields of the model."""
    names = st.sets(st.sampled_from(sorted(GOOD)), min_size=1)
    return names.flatmap(
        lambda chosen: st.lists(
            st.fixed_dictionaries({name: GOOD[name] for name in sorted(chosen)}),
            min_size=1,
            max_size=max_size,
        )
    )


@given(ANY_JSON | ALMOST)
def test_any_json_is_parsed_or_gets_400(value: Any) -> None:
    try:
        records, _ = protocol.read(json.dumps(value).encode())
        protocol.conform(records, SCHEMA)
    except RequestError as error:
        assert error.status == 400  # noqa: PT017
        assert json.loads(error.body)["message"]  # noqa: PT017
    else:
        assert all(type(record) is dict for record in records)


@given(st.binary())
def test_any_bytes_are_parsed_or_get_400(body: bytes) -> None:
    try:
        assert isinstance(protocol.read(body)[0], list)
    except RequestError as error:
        assert (error.status, error.code) == (400, "BAD_REQUEST")  # noqa: PT017


@given(same_fields())
def test_equal_records_are_parsed_the_same_in_every_form(records: list[dict[str, Any]]) -> None:
    for form, value in forms_of(records).items():
        body = json.dumps({form: value, "client_request_id": "reader"})
        read, client_request_id = protocol.read(body.encode())
        assert client_request_id == "reader"
        assert comparable(read) == comparable(records), form


def comparable(records: list[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    """Make NaN equal to itself, and a whole number to its float: orjson converts beyond 64 bits."""
    return [
        sorted((k, repr(float(v) if type(v) is int else v)) for k, v in record.items())
        for record in records
    ]


@given(RECORDS)
def test_conforming_records_have_the_types_of_the_schema(records: list[dict[str, Any]]) -> None:
    before = copy.deepcopy(records)
    try:
        found = protocol.conform(records, SCHEMA)
    except RequestError as error:
        assert error.code == "INVALID_PARAMETER_VALUE"  # noqa: PT017
        return
    for sent, record in zip(before, found, strict=True):
        assert list(record) == list(sent)
        for name, value in record.items():
            if name in TEXT_COLUMNS:
                assert value is None or type(value) is str
                text = str(sent[name]).lower() if type(sent[name]) is bool else sent[name]
                assert value == text or sent[name] != sent[name]  # NaN is missing
            elif name in NUMBER_COLUMNS and value is not None:
                assert type(value) in (int, float)
                assert math.isnan(value) or value == float(sent[name])
            elif name not in SCHEMA:
                assert repr(value) == repr(sent[name])


@given(st.lists(st.tuples(st.sampled_from(["Alive", "Dead"]), st.floats(0, 1))))
def test_answer_has_the_exact_probabilities(scored: list[tuple[str, float]]) -> None:
    answered = json.loads(protocol.answer(scored))
    assert list(answered) == ["predictions"]
    assert [(row["prediction"], row["probability"]) for row in answered["predictions"]] == scored


def test_missing_required_field_gets_400() -> None:
    records: list[dict[str, Any]] = [{"name": "A", "height": 1.0}, {"name": "B", "height": None}]
    with pytest.raises(RequestError, match="Record 1 lacks the required field height"):
        protocol.conform(records, SCHEMA, ["height"])
    assert protocol.conform(records[:1], SCHEMA, ["height"]) == records[:1]


@pytest.mark.parametrize("digits", [20, 300, 301, 5000, 100_000])
def test_whole_numbers_of_any_length_are_parsed(digits: int) -> None:
    records, _ = protocol.read(b'{"inputs": [{"height": %s}]}' % (b"9" * digits))
    value = protocol.conform(records, SCHEMA)[0]["height"]
    assert float(value) == float("9" * digits)


# --- MLflow's server as the reference ---


class Reference:
    """MLflow's scoring server in this process, without HTTP."""

    def __init__(self, folder: str) -> None:
        self._model: Any = mlflow.pyfunc.load_model(folder)
        self._schema = self._model.metadata.get_input_schema()

    def score(self, body: Any) -> list[tuple[str, float]] | None:
        """Return the predictions; None for a rejected request."""
        try:
            invocations: Any = scoring_server.invocations
            answer = invocations(json.dumps(body), "application/json", self._model, self._schema)
        except MlflowException as raised:
            error: Any = raised
            assert error.get_http_status_code() == 400
            return None
        return predictions(json.loads(answer.response))


def predictions(answer: Any) -> list[tuple[str, float]]:
    return [(row["prediction"], row["probability"]) for row in answer["predictions"]]


@pytest.fixture(scope="module")
def reference(registered: Store) -> Iterator[Reference]:
    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it warns of each extra column
    yield Reference(mlflow_files(registered.client(), "1"))
    logging.getLogger("mlflow").setLevel(logging.INFO)


def ours(endpoint: InProcess, body: Any) -> list[tuple[str, float]] | None:
    answer = endpoint.post(body)
    if answer.status == 400:
        return None
    assert answer.status == 200
    return predictions(answer.json)


@at_most(50, suppress_health_check=[HealthCheck.too_slow])
@given(same_fields(4))
def test_mlflow_scores_the_same_in_every_form(
    endpoint: InProcess, reference: Reference, records: list[dict[str, Any]]
) -> None:
    bodies = forms_of(records)
    answers = [ours(endpoint, {form: value}) for form, value in bodies.items()]
    assert answers[0] is not None
    assert len(answers[0]) == len(records)
    assert answers == [answers[0]] * 4
    assert reference.score({"dataframe_records": records}) == answers[0]
    assert reference.score({"dataframe_split": bodies["dataframe_split"]}) == answers[0]
    # In these forms MLflow hands the model the text "None" for a null, and "nan" for NaN.
    assert reference.score({"instances": records}) == answers[0]
    assert reference.score({"inputs": bodies["inputs"]}) == answers[0]
    assert reference.score({"inputs": records}) == answers[0]
