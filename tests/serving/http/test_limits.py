"""Limits of one request: content type, size of the body, records, duration."""

import json
import time
from collections.abc import Iterator

import pytest
from support.in_process import BODY, JSON, InProcess, deploy, started
from support.running_server import Store, describe

from marvel_kedro.serving.telemetry import metrics


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON ; Charset=UTF-8", 200),
        ('application/json; charset="utf8"', 200),
        ("application/json; charset=latin-1", 415),
        ("application/json;", 200),
        ("application/json; charset=us-ascii", 200),
        ("application/json; version=1", 415),
        ("text/plain", 415),
        ("text/csv", 400),
        ("text/csv; header=absent", 415),
        ("application/vnd.apache.parquet", 400),
        ("", 415),
        (None, 415),
    ],
)
def test_content_type_is_json_csv_or_parquet_in_utf_8(
    endpoint: InProcess, content_type: str | None, status: int
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    answer = endpoint.request("POST", "/invocations", json.dumps(BODY).encode(), headers)
    assert answer.status == status
    if status == 415:
        assert answer.error[1] == "UNSUPPORTED_MEDIA_TYPE"
        assert "Content-Type: application/json, text/csv or" in answer.error[2]


@pytest.fixture(scope="module")
def limited(registered: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    limits = {"body_bytes": 1000, "records": 3, "seconds": 0.3}
    folder = tmp_path_factory.mktemp("limited")
    with started(deploy(describe(folder, limits=limits), registered)) as found:
        yield found


def test_long_body_gets_413_as_soon_as_its_length_is_known(limited: InProcess) -> None:
    answers = [
        limited.post(b" " * 1001),
        limited.request("POST", "/invocations", b"", JSON | {"content-length": "1001"}),
        limited.request("POST", "/invocations", [b" " * 600] * 9, JSON),
        limited.post(b"", content_length="9" * 5000),
    ]
    for answer in answers:
        assert answer.error[:2] == (413, "MAX_REQUEST_SIZE_EXCEEDED")
        assert "1,000 bytes" in answer.error[2]
    assert limited.post(json.dumps(BODY).ljust(1000).encode()).status == 200


def test_too_many_records_get_400(limited: InProcess) -> None:
    assert limited.post({"inputs": [{"name": "A"}] * 3}).status == 200
    status, code, message = limited.post({"inputs": [{"name": "A"}] * 4}).error
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "4 records are more than the limit of 3 a request" in message


def test_slow_request_gets_504(limited: InProcess) -> None:
    started_at = time.monotonic()
    answer = limited.loop.run_until_complete(limited.post_slowly(20))
    assert answer.error[:2] == (504, "DEADLINE_EXCEEDED")
    assert time.monotonic() - started_at < 5
    assert limited.rows()[-1]["status_code"] == 504
    assert limited.post(BODY).status == 200


def test_client_that_disconnects_is_counted_and_leaves_no_entry(limited: InProcess) -> None:
    before, rows = metrics.GONE._value.get(), limited.rows()
    assert limited.request("POST", "/invocations", [], JSON).status == 0
    assert metrics.GONE._value.get() == before + 1
    assert limited.rows() == rows
