"""Invocations: statuses, error codes, headers, and the entry for the inference table."""

import json
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given
from support.examples import at_most
from support.in_process import BODY, InProcess, deploy, started
from support.running_server import EXAMPLE, RECORD, Store, describe
from support.spooled import ANY_TEXT
from support.table import TABLE

from marvel_kedro.datasets.online_table import OnlineTableDataset
from marvel_kedro.pipelines.serving.nodes import publish_records
from marvel_kedro.serving.http import app

NAMED = "/serving-endpoints/marvel/invocations"


@pytest.mark.parametrize("path", ["/invocations", NAMED])
def test_answer_entry_and_log_line_agree(endpoint: InProcess, path: str) -> None:
    answer = endpoint.post(BODY | {"client_request_id": "reader-7"}, path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["served-model-name"] == "champion"
    (prediction,) = answer.json["predictions"]
    assert set(prediction) == {"prediction", "probability"}
    row = endpoint.rows()[-1]
    assert row["databricks_request_id"] == answer.headers["x-request-id"]
    assert row["client_request_id"] == "reader-7"
    assert (row["status_code"], row["response"]) == (200, answer.body.decode())
    assert json.loads(row["request"]) == BODY | {"client_request_id": "reader-7"}
    line = endpoint.log_lines()[-1]
    assert line["request_id"] == line["trace_id"] == answer.headers["x-request-id"]
    assert (line["status"], line["path"], line["records"]) == (200, path, 1)
    assert (line["served_entity"], line["model_version"]) == ("champion", "1")
    assert line["client_request_id"] == "reader-7"
    assert 0 < line["duration_ms"] < 10_000


INVALID_BODIES = [
    (b"", "BAD_REQUEST", "The body is not JSON"),
    (b"{", "BAD_REQUEST", "The body is not JSON"),
    (b"\xff\xfe", "BAD_REQUEST", "The body is not JSON"),
    (b"[" * 100_000, "BAD_REQUEST", "The body is not JSON"),
    (b"[]", "BAD_REQUEST", "The body must be an object .*; got a list"),
    (b"NaN", "BAD_REQUEST", "got a number"),
    (b"{}", "BAD_REQUEST", "exactly one of .*; got nothing"),
    (b'{"inputs": [], "instances": []}', "BAD_REQUEST", "got instances and inputs"),
    (b'{"data": []}', "BAD_REQUEST", "got data"),
    (b'{"inputs": [{}], "params": 1}', "BAD_REQUEST", "params must be an object"),
    (
        b'{"inputs": [{}], "client_request_id": 1}',
        "BAD_REQUEST",
        "client_request_id must be text",
    ),
    (b'{"dataframe_records": {}}', "BAD_REQUEST", "dataframe_records must be a list of records"),
    (b'{"instances": [{}, 1]}', "BAD_REQUEST", "instances: record 1 must be an object"),
    (b'{"dataframe_split": {"data": []}}', "BAD_REQUEST", "an object with columns and data"),
    (
        b'{"dataframe_split": {"columns": ["name"], "data": [["a"], []]}}',
        "BAD_REQUEST",
        "row 1 of data must be a list of 1 values",
    ),
    (
        b'{"dataframe_split": {"columns": [], "data": [], "colour": 1}}',
        "BAD_REQUEST",
        "dataframe_split has columns, data and index, not colour",
    ),
    (
        b'{"dataframe_split": {"columns": ["name", "name"], "data": []}}',
        "BAD_REQUEST",
        "columns holds a name twice",
    ),
    (
        b'{"inputs": {"name": ["a", "b"], "height": [1]}}',
        "BAD_REQUEST",
        "height has 1, name has 2",
    ),
    (b'{"inputs": [{}]}', "INVALID_PARAMETER_VALUE", "No record has a field that the model knows"),
    (
        b'{"inputs": [{"name": "a"}, {"name": 1}]}',
        "INVALID_PARAMETER_VALUE",
        "Record 1: the field name must be text or null; got a number",
    ),
    (
        b'{"inputs": [{"height": "tall"}]}',
        "INVALID_PARAMETER_VALUE",
        "Record 0: the field height must be a number or null; got text",
    ),
    (
        b'{"inputs": [{"height": true}]}',
        "INVALID_PARAMETER_VALUE",
        "the field height must be a number or null; got a Boolean",
    ),
]


@pytest.mark.parametrize(
    ("body", "code", "message"), INVALID_BODIES, ids=lambda value: str(value)[:50]
)
def test_invalid_body_gets_400_that_names_the_cause(
    endpoint: InProcess, body: bytes, code: str, message: str
) -> None:
    answer = endpoint.post(body)
    status, found, text = answer.error
    assert (status, found) == (400, code)
    assert pd.Series([text]).str.contains(message).all(), text
    row = endpoint.rows()[-1]
    assert (row["status_code"], row["response"]) == (400, answer.body.decode())


def test_no_records_get_no_predictions(endpoint: InProcess) -> None:
    bodies: list[Any] = [{"inputs": []}, {"inputs": {}}, {"dataframe_records": []}]
    for body in bodies:
        answer = endpoint.post(body)
        assert (answer.status, answer.json) == (200, {"predictions": []})


def test_message_is_cut_when_it_quotes_a_long_key(endpoint: InProcess) -> None:
    answer = endpoint.post({"x" * 100_000: 1})
    assert answer.status == 400
    assert len(answer.body) < 5000


@at_most(50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT)
def test_client_request_id_may_be_any_text(endpoint: InProcess, name: str) -> None:
    answer = endpoint.post(BODY | {"client_request_id": name})
    assert answer.status == 200
    encodable = name.encode(errors="replace").decode()
    assert endpoint.log_lines()[-1]["client_request_id"] == encodable
    assert endpoint.rows()[-1]["client_request_id"] == encodable


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "ODD"])
def test_invocations_accept_post_only(endpoint: InProcess, method: str) -> None:
    for path in ("/invocations", NAMED):
        answer = endpoint.request(method, path)
        assert answer.status == 405
        assert answer.headers["allow"] == "POST"


def test_batch_gets_the_predictions_of_single_records(
    endpoint: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = endpoint.post(BODY).json["predictions"]
    batch = endpoint.post({"dataframe_records": [RECORD] * 1000})
    assert batch.json["predictions"] == single * 1000
    monkeypatch.setattr(app, "INLINE_BYTES", 1)  # the body is parsed in a thread too
    assert endpoint.post(BODY).json["predictions"] == single


def test_many_threads_score_the_same_as_one(endpoint: InProcess) -> None:
    """All threads share the booster's fast path for one row."""
    (served, _) = endpoint.app._entities.served
    records = [{"name": "A", "height": number / 100} for number in range(50, 250)]
    alone = [served.loaded.score([record]) for record in records]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda record: served.loaded.score([record]), records * 5))
    assert together == alone * 5
    assert [row for (row,) in alone] == served.loaded.score(records)


def test_without_a_model_invocations_get_503_and_pages_answer(tmp_path: Path) -> None:
    with started(describe(tmp_path)) as endpoint:
        health = endpoint.get("/health")
        assert (health.status, health.json["ready"]) == (503, False)
        assert endpoint.get("/ping").status == 200
        answer = endpoint.post(BODY)
        assert answer.error[:2] == (503, "TEMPORARILY_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
        assert "served-model-name" not in answer.headers
        assert endpoint.get("/openapi.json").status == 200


# --- simulated time ---


@pytest.fixture(scope="module")
def simulating(registered: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("simulating")
    with started(deploy(describe(folder, accept_simulated_time=True), registered)) as found:
        yield found


@pytest.mark.parametrize(
    "header",
    ["2031-02-03T04:05:06.789Z", "2031-02-03T04:05:06+05:30", "1970-01-01t00:00:00z",
     "9999-12-31T23:59:59.999999Z", "2024-02-29T23:59:59.123456789-11:59"],
)  # fmt: skip
def test_simulated_time_is_the_request_time_of_the_entry(
    simulating: InProcess, header: str
) -> None:
    answer = simulating.post(BODY, x_simulated_time=header)
    assert answer.status == 200
    row = simulating.rows()[-1]
    assert pd.Timestamp(row["request_time"], unit="us", tz="UTC") == pd.Timestamp(
        header.upper()
    ).floor("us")
    logged = pd.Timestamp(simulating.log_lines()[-1]["time"])
    assert abs(logged.timestamp() - time.time()) < 60


@pytest.mark.parametrize(
    "header",
    ["", "now", "1767225600", "2031-02-03", "2031-02-03T04:05:06", "2031-02-30T00:00:00Z",
     "2031-W01-1T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "\xb2031"],
)  # fmt: skip
def test_invalid_simulated_time_gets_400(simulating: InProcess, header: str) -> None:
    status, code, message = simulating.post(BODY, x_simulated_time=header).error
    assert (status, code) == (400, "BAD_REQUEST")
    assert "x-simulated-time" in message
    assert abs(simulating.rows()[-1]["request_time"] / 1e6 - time.time()) < 60


@pytest.mark.parametrize("header", ["2031-02-03T04:05:06Z", "now"])
def test_simulated_time_is_ignored_unless_enabled(endpoint: InProcess, header: str) -> None:
    assert endpoint.post(BODY, x_simulated_time=header).status == 200
    assert abs(endpoint.rows()[-1]["request_time"] / 1e6 - time.time()) < 60


# --- records by page_id ---


def test_records_are_completed_by_page_id(
    registered: Store, tmp_path: Path, characters: pd.DataFrame
) -> None:
    configuration = deploy(describe(tmp_path), registered)
    OnlineTableDataset(str(configuration.server.online_records)).save(
        publish_records(characters, TABLE)
    )
    fields = list(EXAMPLE)
    first, second = (
        {str(k): None if pd.isna(v) else v for k, v in characters.iloc[row][fields].items()}
        for row in (0, 1)
    )
    ids = characters["page_id"]
    with started(configuration) as endpoint:

        def scored(*records: dict[str, Any]) -> Any:
            answer = endpoint.post({"dataframe_records": records})
            assert answer.status == 200, answer.body
            return answer.json["predictions"]

        assert scored({"page_id": ids[0]}) == scored(first)
        assert scored({"page_id": ids[0]}, second, {"page_id": ids[1]}) == scored(
            first, second, second
        )
        assert scored({"page_id": ids[0], "gender": None}) == scored(first | {"gender": None})
        assert scored({"page_id": "unknown", "name": "A"}) == scored({"name": "A"})
        many = [{"page_id": page} for page in ids[:100]]
        assert len(scored(*many)) == 100
        body = {"inputs": {"page_id": ["unknown", ids[0], "\ud800", 5, None]}}
        unknown = endpoint.post(body).error
        assert unknown[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert unknown[2].startswith('4 unknown page_id: "unknown", "\\ud800", 5, null')


def test_page_id_alone_gets_400_without_the_lookup_file(endpoint: InProcess) -> None:
    status, code, message = endpoint.post({"inputs": [{"page_id": "A"}]}).error
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "no table online_records" in message
    assert endpoint.post({"inputs": [{"page_id": "A", "name": "A"}]}).status == 200


# --- models that this project has not made ---

FOREIGN_MODEL = """
import time
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class ForeignModel(PythonModel):
    def predict(self, context, model_input, params=None):
        if (model_input["height"] > 5).any():
            time.sleep(3)
        if (model_input["height"] < 0).any():
            raise SystemExit
        return pd.DataFrame({"prediction": "Alive", "probability": [0.5] * len(model_input)})


set_model(ForeignModel())
"""


def test_foreign_model_that_is_slow_or_exits_gets_an_error_answer(
    registered: Store, tmp_path: Path
) -> None:
    """It scores in a thread, so that the deadline is checked meanwhile."""
    configuration = deploy(describe(tmp_path, limits={"seconds": 0.5}), registered)
    files = configuration.server.models / "1-0"
    original = files.resolve()
    files.unlink()
    shutil.copytree(original, files)
    (files / "artifacts" / "model" / "predictor.py").unlink()
    (files / "pyfunc.py").write_text(FOREIGN_MODEL)
    description = yaml.safe_load((files / "MLmodel").read_text())
    del description["metadata"]["model_digest"]
    (files / "MLmodel").write_text(yaml.safe_dump(description))
    with started(configuration) as endpoint:
        quick, slow = ({"inputs": [{"height": height}]} for height in (1, 9))
        assert endpoint.post(slow).error[:2] == (504, "DEADLINE_EXCEEDED")
        answer = endpoint.post(quick)
        assert answer.json == {"predictions": [{"prediction": "Alive", "probability": 0.5}]}
        exits = endpoint.post({"inputs": [{"height": -1}]})
        assert exits.error[:2] == (500, "INTERNAL_ERROR")
        assert [row["status_code"] for row in endpoint.rows()] == [504, 200, 500]
