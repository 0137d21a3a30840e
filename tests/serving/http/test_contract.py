"""What the endpoint says to each request: statuses, codes, headers, and the row it writes down."""

import asyncio
import contextlib
import json
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.examples import at_most
from support.in_process import JSON as JSON_HEADERS
from support.in_process import InProcess, answer_of, deploy, started
from support.running_server import RECORD, Store, describe
from support.spooled import ANY_TEXT

from marvel_kedro.datasets.online_table import OnlineTableDataset
from marvel_kedro.pipelines.serving.nodes import publish_characters
from marvel_kedro.serving.http import app
from marvel_kedro.serving.http.openapi import EXAMPLE
from marvel_kedro.serving.http.protocol import FORMS
from marvel_kedro.serving.state_folder import SPOOL
from marvel_kedro.serving.telemetry import metrics

BODY = {"dataframe_records": [RECORD]}
NAMED = "/serving-endpoints/marvel/invocations"


def rows(asked: InProcess) -> list[dict[str, Any]]:
    """What was written down so far, the order of the requests."""
    files = sorted((asked.description.server.folder / SPOOL).glob("*.*"))
    lines = b"".join(file.read_bytes() for file in files).splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("path", ["/invocations", NAMED])
def test_an_answer(asked: InProcess, path: str) -> None:
    answer = asked.post(BODY | {"client_request_id": "reader-7"}, path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["served-model-name"] == "champion"
    (prediction,) = answer.json["predictions"]
    assert set(prediction) == {"prediction", "probability"}
    row = rows(asked)[-1]
    assert row["databricks_request_id"] == answer.headers["x-request-id"]
    assert row["client_request_id"] == "reader-7"
    assert (row["status_code"], row["response"]) == (200, answer.body.decode())
    assert json.loads(row["request"]) == BODY | {"client_request_id": "reader-7"}
    line = asked.log_lines()[-1]
    assert line["request_id"] == line["trace_id"] == answer.headers["x-request-id"]
    assert (line["status"], line["path"], line["records"]) == (200, path, 1)
    assert (line["served_entity"], line["model_version"]) == ("champion", "1")
    assert line["client_request_id"] == "reader-7"
    assert 0 < line["duration_ms"] < 10_000


REFUSED = [
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


@pytest.mark.parametrize(("body", "code", "message"), REFUSED, ids=lambda value: str(value)[:50])
def test_a_body_that_is_refused(asked: InProcess, body: bytes, code: str, message: str) -> None:
    answer = asked.post(body)
    status, found, said = answer.refusal
    assert (status, found) == (400, code)
    assert pd.Series([said]).str.contains(message).all(), said
    row = rows(asked)[-1]
    assert (row["status_code"], row["response"]) == (400, answer.body.decode())


def test_no_records_have_no_predictions(asked: InProcess) -> None:
    bodies: list[Any] = [{"inputs": []}, {"inputs": {}}, {"dataframe_records": []}]
    for body in bodies:
        answer = asked.post(body)
        assert (answer.status, answer.json) == (200, {"predictions": []})


def test_a_message_is_short_whatever_was_sent(asked: InProcess) -> None:
    answer = asked.post({"x" * 100_000: 1})
    assert answer.status == 400
    assert len(answer.body) < 5000


@at_most(50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_TEXT)
def test_any_text_may_be_a_clients_name(asked: InProcess, name: str) -> None:
    answer = asked.post(BODY | {"client_request_id": name})
    assert answer.status == 200
    shown = name.encode(errors="replace").decode()
    assert asked.log_lines()[-1]["client_request_id"] == shown
    assert rows(asked)[-1]["client_request_id"] == shown


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON ; Charset=UTF-8", 200),
        ('application/json; charset="utf8"', 200),
        ("application/json; charset=latin-1", 415),
        ("application/json; version=1", 415),
        ("text/csv", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_json_alone_is_taken(asked: InProcess, kind: str | None, status: int) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = asked.ask("POST", "/invocations", json.dumps(BODY).encode(), headers)
    assert answer.status == status
    if status == 415:
        assert answer.refusal[1] == "UNSUPPORTED_MEDIA_TYPE"
        assert "Content-Type: application/json" in answer.refusal[2]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "ODD"])
def test_post_alone_invokes(asked: InProcess, method: str) -> None:
    for path in ("/invocations", NAMED):
        answer = asked.ask(method, path)
        assert answer.status == 405
        assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_pages_are_read_only(asked: InProcess, method: str) -> None:
    answer = asked.ask(method, "/health")
    assert answer.refusal[0] == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_what_is_not_there(asked: InProcess) -> None:
    status, code, message = asked.post(BODY, "/serving-endpoints/other/invocations").refusal
    assert (status, code) == (404, "ENDPOINT_NOT_FOUND")
    assert "marvel" in message
    for path in ("/nothing", "/docs/../secret", "/.well-known/databricks-config", "/" + "x" * 9999):
        answer = asked.get(path)
        assert answer.refusal[0] == 404
        assert len(answer.body) < 1000


def test_pages(asked: InProcess) -> None:
    assert (asked.get("/ping").status, asked.get("/ping").json) == (200, {})
    health = asked.get("/health")
    assert (health.status, health.json) == (200, {"ready": True, "faults": ""})
    version = asked.get("/version").json
    assert version["endpoint"] == "marvel"
    assert version["traffic"] == {"champion": 100, "challenger": 0}
    assert [one["entity_version"] for one in version["served_entities"]] == ["1", "2"]
    assert b"swagger-ui-bundle.js" in asked.get("/docs").body
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert len(asked.get(f"/docs/{name}").body) > 10_000
    head = asked.ask("HEAD", "/docs")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(asked.get("/docs").body)


def test_pages_are_logged_and_counted(asked: InProcess) -> None:
    """Probes have no line, unless they are none; made-up paths are one label."""
    before = len(asked.log_lines())
    for path in ("/ping", "/health"):
        assert asked.get(path).status == 200
    assert len(asked.log_lines()) == before
    answers = [
        asked.get("/version", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"),
        asked.get("/" + "x" * 9999),
        asked.ask("DELETE", "/ping"),
    ]
    lines = asked.log_lines()[before:]
    assert [(line["method"], line["path"], line["status"], line["level"]) for line in lines] == [
        ("GET", "/version", 200, "info"),
        ("GET", "/" + "x" * 199, 404, "info"),
        ("DELETE", "/ping", 405, "info"),
    ]
    assert [line["request_id"] for line in lines] == [
        answer.headers["x-request-id"] for answer in answers
    ]
    assert [line["trace_id"] for line in lines] == [
        "a" * 32, lines[1]["request_id"], lines[2]["request_id"],
    ]  # fmt: skip
    counted = {
        tuple(one.labels.values()) for kind in metrics.PAGES.collect() for one in kind.samples
    }
    assert {("/ping", "200"), ("/version", "200"), ("other", "404"), ("/ping", "405")} <= counted
    assert not any("x" in path for path, _ in counted)


def test_a_page_that_fails_is_an_answer(asked: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr(asked.endpoint._pages._entities, "why_not", fail)
    answer = asked.get("/version")
    status, code, message = answer.refusal
    assert (status, code) == (500, "INTERNAL_ERROR")
    assert answer.headers["x-request-id"] in message
    fault, line = asked.log_lines()[-2:]
    assert fault["fault"] == "OSError('the disk is away')"
    assert (line["path"], line["status"], line["level"]) == ("/version", 500, "error")
    assert fault["request_id"] == line["request_id"] == answer.headers["x-request-id"]


def test_the_examples_work_as_they_are(asked: InProcess) -> None:
    described = asked.get("/openapi.json").json
    sent = described["paths"]["/invocations"]["post"]["requestBody"]["content"]
    examples = sent["application/json"]["examples"]
    answers = {name: asked.post(example["value"]) for name, example in examples.items()}
    assert len(answers) == 4
    # Swagger UI sends this one on the first click.
    answers["schema"] = asked.post(described["components"]["schemas"]["Invocation"]["example"])
    assert {answer.status for answer in answers.values()} == {200}
    assert len({answer.body for answer in answers.values()}) == 1
    fields = set(described["components"]["schemas"]["Record"]["properties"])
    assert fields == set(EXAMPLE) | {"page_id"}


# --- what is not written down ---

SECRET = "of-a-secret-earth"
HIDDEN = ("page_id", "name", "height", "client_request_id")


@pytest.fixture(scope="module")
def hiding(
    registered: Store, tmp_path_factory: pytest.TempPathFactory, characters: pd.DataFrame
) -> Iterator[InProcess]:
    table = {"redact": list(HIDDEN)}
    description = describe(tmp_path_factory.mktemp("hiding"), inference_table=table)
    OnlineTableDataset(str(description.server.characters)).save(publish_characters(characters))
    with started(deploy(description, registered)) as found:
        yield found


def written(asked: InProcess) -> str:
    """The table and the log, each only what the last request has left there."""
    row, line = rows(asked)[-1], asked.log_lines()[-1]
    assert row["databricks_request_id"] == line["request_id"]
    return json.dumps([row, line])


def test_a_refusal_is_written_without_what_it_quotes(hiding: InProcess) -> None:
    answer = hiding.post({"inputs": {"page_id": [SECRET, "another"]}})
    assert f'2 unknown page_id: "{SECRET}", "another".' in answer.refusal[2]
    row = json.loads(rows(hiding)[-1]["response"])
    assert row["error_code"] == "INVALID_PARAMETER_VALUE"
    assert row["message"].startswith("2 unknown page_id. Records with nothing else")
    assert SECRET not in written(hiding)


def test_a_clients_name_is_not_logged(hiding: InProcess) -> None:
    assert hiding.post(BODY | {"client_request_id": SECRET}).status == 200
    assert hiding.log_lines()[-1]["client_request_id"] == "***"
    assert SECRET not in written(hiding)
    assert hiding.post(BODY).status == 200
    assert hiding.log_lines()[-1]["client_request_id"] is None


def test_a_fault_is_logged_without_what_it_quotes(
    hiding: InProcess, asked: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(records: list[Any]) -> list[tuple[str, float]]:
        raise KeyError(records[0]["name"])

    for each, is_quoted in ((asked, True), (hiding, False)):
        served = each.endpoint._entities.choose(None)
        broken = replace(served, loaded=replace(served.loaded, score=fail))
        monkeypatch.setattr(each.endpoint._entities, "choose", lambda _, broken=broken: broken)
        assert each.post({"inputs": [{"name": SECRET}]}).refusal[:2] == (500, "INTERNAL_ERROR")
        fault, _ = each.log_lines()[-2:]
        assert "KeyError" in fault["fault"]
        assert (SECRET in fault["fault"]) == is_quoted
        assert is_quoted or "test_contract.py:" in fault["fault"]


VALUES = st.sampled_from(
    [SECRET, [SECRET], {SECRET: 1}, {"x": SECRET}, f"{SECRET}\ud800", [[{"a": SECRET}]]]
)
HIDDEN_RECORDS = st.dictionaries(st.sampled_from(HIDDEN[:3]), VALUES, min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(HIDDEN_RECORDS, st.sampled_from(FORMS), st.none() | VALUES, st.integers(0, 200))
def test_a_hidden_value_is_nowhere(
    hiding: InProcess, record: dict[str, Any], form: str, name: Any, end: int
) -> None:
    """Whatever is wrong with the request, its being cut off included."""
    shapes = {
        "dataframe_split": {"columns": list(record), "data": [list(record.values())]},
        "inputs": {field: [value] for field, value in record.items()},
    }
    body = {"client_request_id": name, form: shapes.get(form, [record])}
    answer = hiding.post(json.dumps(body).encode()[: end or None])
    assert answer.status in (200, 400)
    assert SECRET not in written(hiding)


# --- limits ---


@pytest.fixture
def limited(registered: Store, tmp_path: Path) -> Iterator[InProcess]:
    limits = {"body_bytes": 1000, "records": 3, "concurrency": 2, "seconds": 0.3, "retry_after": 7}
    with started(deploy(describe(tmp_path, limits=limits), registered)) as found:
        yield found


def test_a_long_body_is_refused_before_it_is_read(limited: InProcess) -> None:
    length = {"content-type": "application/json", "content-length": "1001"}
    answers = [
        limited.post(b" " * 1001),
        limited.ask("POST", "/invocations", b"", length),
        limited.ask("POST", "/invocations", [b" " * 600] * 9, {"content-type": "application/json"}),
        limited.post(b"", content_length="9" * 5000),
    ]
    for answer in answers:
        assert answer.refusal[:2] == (413, "MAX_REQUEST_SIZE_EXCEEDED")
        assert "1,000 bytes" in answer.refusal[2]
    assert limited.post(json.dumps(BODY).ljust(1000).encode()).status == 200


def test_many_records_are_refused(limited: InProcess) -> None:
    assert limited.post({"inputs": [{"name": "A"}] * 3}).status == 200
    status, code, message = limited.post({"inputs": [{"name": "A"}] * 4}).refusal
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "4 records are more than the limit of 3 a request" in message


def test_many_requests_at_once_are_refused(limited: InProcess) -> None:
    async def at_once() -> list[Any]:
        waiting = [_slow(limited, 0.1) for _ in range(5)]
        return await asyncio.gather(*waiting)

    answers = limited.loop.run_until_complete(at_once())
    assert sorted(answer.status for answer in answers) == [200, 200, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status == 429)
    assert refused.refusal[1] == "REQUEST_LIMIT_EXCEEDED"
    assert refused.headers["retry-after"] == "7"
    assert limited.post(BODY).status == 200


async def _slow(
    asked: InProcess, seconds: float, headers: Iterable[tuple[bytes, bytes]] = ()
) -> Any:
    """A request whose body takes its time."""

    messages: list[dict[str, Any]] = []
    body = json.dumps(BODY).encode()

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(seconds)
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    sent = [(b"content-type", b"application/json"), *headers]
    scope = {"type": "http", "method": "POST", "path": "/invocations", "headers": sent}
    await asked.endpoint(scope, receive, send)
    return answer_of(messages)


LARGE = 100_000


@pytest.fixture
def holding(registered: Store, tmp_path: Path) -> Iterator[InProcess]:
    """Of a body of the greatest size there is room for one: a byte that is not given back shows."""
    limits = {"body_bytes": LARGE, "held_bytes": LARGE, "seconds": 0.5, "retry_after": 7}
    with started(deploy(describe(tmp_path, limits=limits), registered)) as found:
        yield found


def _has_room(asked: InProcess) -> bool:
    return asked.post(json.dumps(BODY).ljust(LARGE).encode()).status == 200


def test_large_bodies_at_once_are_refused(holding: InProcess) -> None:
    async def at_once() -> tuple[Any, ...]:
        length = [(b"content-length", b"90000")]
        first = asyncio.create_task(_slow(holding, 0.2, length))
        await asyncio.sleep(0.05)
        said = await _slow(holding, 0.0, length)
        parts = [b" " * 40_000] * 2  # nobody said how long
        unsaid = await holding.asked("POST", "/invocations", parts, JSON_HEADERS)
        small = await _slow(holding, 0.0)
        return await first, small, said, unsaid

    *let_in, said, unsaid = holding.loop.run_until_complete(at_once())
    assert [answer.status for answer in let_in] == [200, 200]
    for answer in (said, unsaid):
        assert answer.refusal[:2] == (429, "REQUEST_LIMIT_EXCEEDED")
        assert f"{LARGE:,} bytes" in answer.refusal[2]
        assert answer.headers["retry-after"] == "7"
    assert [row["status_code"] for row in rows(holding)].count(429) == 2
    assert _has_room(holding)


def test_room_for_large_bodies_is_given_back(holding: InProcess) -> None:
    headers = JSON_HEADERS | {"content-length": f"{LARGE}"}
    parts = [b"[" * 40_000] * 2
    for sent, status in (
        (parts, 400),  # no JSON
        ([*parts, *parts], 413),
        ([], 0),  # the client has gone
    ):
        assert holding.ask("POST", "/invocations", sent, headers).status == status
        assert _has_room(holding), status
    length = [(b"content-length", b"%d" % LARGE)]
    assert holding.loop.run_until_complete(_slow(holding, 20, length)).status == 504
    assert _has_room(holding)

    async def cancelled() -> None:
        task = asyncio.create_task(_slow(holding, 20, length))
        await asyncio.sleep(0.05)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    holding.loop.run_until_complete(cancelled())
    assert _has_room(holding)


def test_what_takes_too_long_is_refused(limited: InProcess) -> None:
    began = time.monotonic()
    answer = limited.loop.run_until_complete(_slow(limited, 20))
    assert answer.refusal[:2] == (504, "DEADLINE_EXCEEDED")
    assert time.monotonic() - began < 5
    assert rows(limited)[-1]["status_code"] == 504
    assert limited.post(BODY).status == 200


# --- threads ---

BATCH = {"dataframe_records": [RECORD] * 40}


class SlowModel:
    """Stands in for the model of an endpoint, for which batches take as long as a test likes."""

    def __init__(self, asked: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_done = threading.Event()
        self.at_once: list[int] = []
        self._running = 0
        self._turn = threading.Lock()
        served = asked.endpoint._entities.choose(None)
        monkeypatch.setattr(
            asked.endpoint._entities,
            "choose",
            lambda _: replace(served, loaded=replace(served.loaded, score=self._score)),
        )

    def _score(self, records: list[Any]) -> list[tuple[str, float]]:
        if len(records) > 1:
            with self._turn:
                self._running += 1
                self.at_once.append(self._running)
            assert self.is_done.wait(30)
            with self._turn:
                self._running -= 1
        return [("Alive", 0.5)] * len(records)


def _until(asked: InProcess, true: Callable[[], bool]) -> None:
    async def wait() -> None:
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    asked.loop.run_until_complete(wait())


def test_a_late_batch_counts_until_its_thread_is_free(
    registered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(BATCH).ljust(LARGE).encode()
    limits = {"concurrency": 2, "seconds": 0.3, "body_bytes": LARGE, "held_bytes": 2 * LARGE - 1}
    with started(deploy(describe(tmp_path, limits=limits), registered)) as asked:
        model = SlowModel(asked, monkeypatch)
        assert asked.post(body).status == 504
        assert asked.post(BODY).status == 200
        busy = asked.post(b" " * LARGE)
        assert busy.refusal[0] == 429
        assert "Large bodies" in busy.refusal[2]
        assert asked.post(BATCH).status == 504
        for sent in (BODY, BATCH, b"{"):
            busy = asked.post(sent)
            assert busy.refusal[0] == 429
            assert "More than 2 requests" in busy.refusal[2]
        _until(asked, lambda: metrics.IN_PROGRESS._value.get() == 2)
        model.is_done.set()
        _until(asked, lambda: asked.endpoint._concurrency.abandoned == 0)
        assert [asked.post(sent).status for sent in (body, BATCH, BODY)] == [200] * 3
        _until(asked, lambda: metrics.IN_PROGRESS._value.get() == 0)


def test_threads_are_bounded(
    registered: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"concurrency": 20, "seconds": 0.5}
    description = describe(tmp_path, limits=limits, threads=3)
    with started(deploy(description, registered)) as asked:
        model = SlowModel(asked, monkeypatch)

        def at_once(number: int) -> list[int]:
            sent = json.dumps(BATCH).encode()
            asking = [
                asked.asked("POST", "/invocations", sent, JSON_HEADERS) for _ in range(number)
            ]

            async def all_of_them() -> list[int]:
                return [answer.status for answer in await asyncio.gather(*asking)]

            return asked.loop.run_until_complete(all_of_them())

        assert at_once(10) == [504] * 10
        # Those that got no thread are over; three go on, and nobody gets their threads.
        assert at_once(10) == [504] * 10
        assert model.at_once == [1, 2, 3]
        assert asked.post(BODY).status == 200
        model.is_done.set()
        assert at_once(17) == [200] * 17
        assert max(model.at_once) == 3


def test_a_client_that_goes_away_is_no_request(limited: InProcess) -> None:
    before = metrics.GONE._value.get()
    assert limited.ask("POST", "/invocations", [], {"content-type": "application/json"}).status == 0
    assert metrics.GONE._value.get() == before + 1
    assert rows(limited) == []


def test_a_batch_is_scored_beside_single_records(
    asked: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = asked.post(BODY).json["predictions"]
    batch = asked.post({"dataframe_records": [RECORD] * 1000})
    assert batch.json["predictions"] == single * 1000
    monkeypatch.setattr(app, "INLINE_BYTES", 1)  # read in a thread as well
    assert asked.post(BODY).json["predictions"] == single


def test_without_a_model(tmp_path: Path) -> None:
    with started(describe(tmp_path)) as asked:
        health = asked.get("/health")
        assert (health.status, health.json["ready"]) == (503, False)
        assert asked.get("/ping").status == 200
        answer = asked.post(BODY)
        assert answer.refusal[:2] == (503, "TEMPORARILY_UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"
        assert "served-model-name" not in answer.headers
        assert asked.get("/openapi.json").status == 200


# --- tokens ---


def test_tokens(registered: Store, tmp_path: Path) -> None:
    description = deploy(describe(tmp_path), registered)
    with started(description, {"ann": "s3cret-of-ann", "bob": "s3cret-of-bob"}) as asked:
        for sent in (
            None,
            "",
            "Bearer",
            "Bearer ",
            "Bearer s3cret",
            "Basic s3cret-of-ann",
            "s3cret-of-ann",
        ):
            headers = {} if sent is None else {"authorization": sent}
            for answer in (
                asked.post(BODY, **headers),
                asked.get("/version", **headers),
                asked.get("/metrics", **headers),
                asked.get("/nothing", **headers),
                asked.post(BODY, "/serving-endpoints/other/invocations", **headers),
            ):
                assert answer.refusal[:2] == (401, "UNAUTHENTICATED")
                assert answer.headers["www-authenticate"] == "Bearer"
        for page in ("/ping", "/health", "/docs", "/openapi.json", "/docs/swagger-ui.css"):
            assert asked.get(page).status == 200
        assert asked.get("/version", authorization="bearer s3cret-of-bob").status == 200
        answer = asked.post(BODY, authorization="Bearer s3cret-of-bob")
        assert answer.status == 200
        assert rows(asked)[-1]["requester"] == "bob"
        assert asked.log_lines()[-1]["requester"] == "bob"
        paths = asked.get("/openapi.json").json["paths"]
        assert paths["/invocations"]["post"]["security"] == [{"token": []}]
        assert "security" not in paths["/ping"]["get"]
        written = json.dumps([rows(asked), asked.log_lines()])
    for file in tmp_path.rglob("*"):
        written += file.read_text(errors="replace") if file.is_file() else ""
    assert "s3cret" not in written


# --- simulated time ---


@pytest.fixture
def simulating(registered: Store, tmp_path: Path) -> Iterator[InProcess]:
    with started(deploy(describe(tmp_path, accept_simulated_time=True), registered)) as found:
        yield found


@pytest.mark.parametrize(
    "said",
    ["2031-02-03T04:05:06.789Z", "2031-02-03T04:05:06+05:30", "1970-01-01t00:00:00z",
     "9999-12-31T23:59:59.999999Z", "2024-02-29T23:59:59.123456789-11:59"],
)  # fmt: skip
def test_a_simulated_time_is_that_of_the_row(simulating: InProcess, said: str) -> None:
    answer = simulating.post(BODY, x_simulated_time=said)
    assert answer.status == 200
    row = rows(simulating)[-1]
    assert pd.Timestamp(row["request_time"], unit="us", tz="UTC") == pd.Timestamp(
        said.upper()
    ).floor("us")
    logged = pd.Timestamp(simulating.log_lines()[-1]["time"])
    assert abs(logged.timestamp() - time.time()) < 60


@pytest.mark.parametrize(
    "said",
    ["", "now", "1767225600", "2031-02-03", "2031-02-03T04:05:06", "2031-02-30T00:00:00Z",
     "2031-W01-1T00:00:00Z", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "\xb2031"],
)  # fmt: skip
def test_a_wrong_simulated_time_is_refused(simulating: InProcess, said: str) -> None:
    status, code, message = simulating.post(BODY, x_simulated_time=said).refusal
    assert (status, code) == (400, "BAD_REQUEST")
    assert "x-simulated-time" in message
    assert abs(rows(simulating)[-1]["request_time"] / 1e6 - time.time()) < 60


@pytest.mark.parametrize("said", ["2031-02-03T04:05:06Z", "now"])
def test_a_simulated_time_is_ignored_elsewhere(asked: InProcess, said: str) -> None:
    assert asked.post(BODY, x_simulated_time=said).status == 200
    assert abs(rows(asked)[-1]["request_time"] / 1e6 - time.time()) < 60


# --- records by id ---


def test_records_by_id(registered: Store, tmp_path: Path, characters: pd.DataFrame) -> None:
    description = deploy(describe(tmp_path), registered)
    OnlineTableDataset(str(description.server.characters)).save(publish_characters(characters))
    fields = list(EXAMPLE)
    first, second = (
        {str(k): None if pd.isna(v) else v for k, v in characters.iloc[row][fields].items()}
        for row in (0, 1)
    )
    ids = characters["page_id"]
    with started(description) as asked:

        def scored(*records: dict[str, Any]) -> Any:
            answer = asked.post({"dataframe_records": records})
            assert answer.status == 200, answer.body
            return answer.json["predictions"]

        assert scored({"page_id": ids[0]}) == scored(first)
        assert scored({"page_id": ids[0]}, second, {"page_id": ids[1]}) == scored(
            first, second, second
        )
        assert scored({"page_id": ids[0], "gender": None}) == scored(first | {"gender": None})
        assert scored({"page_id": "nobody", "name": "A"}) == scored({"name": "A"})
        many = [{"page_id": page} for page in ids[:100]]
        assert len(scored(*many)) == 100
        unknown = asked.post({"inputs": {"page_id": ["nobody", ids[0], "\ud800", 5, None]}}).refusal
        assert unknown[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert unknown[2].startswith('4 unknown page_id: "nobody", "\\ud800", 5, null')


def test_records_by_id_without_the_file(asked: InProcess) -> None:
    status, code, message = asked.post({"inputs": [{"page_id": "A"}]}).refusal
    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "no table of characters" in message
    assert asked.post({"inputs": [{"page_id": "A", "name": "A"}]}).status == 200


def test_many_threads_score_as_one(asked: InProcess) -> None:
    """The quick way for one row is shared by all."""
    (served, _) = asked.endpoint._entities.served
    records = [{"name": "A", "height": number / 100} for number in range(50, 250)]
    alone = [served.loaded.score([record]) for record in records]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda record: served.loaded.score([record]), records * 5))
    assert together == alone * 5
    assert [row for (row,) in alone] == served.loaded.score(records)


OF_OTHERS = """
import time
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class OfOthers(PythonModel):
    def predict(self, context, model_input, params=None):
        if (model_input["height"] > 5).any():
            time.sleep(3)
        return pd.DataFrame({"prediction": "Alive", "probability": [0.5] * len(model_input)})


set_model(OfOthers())
"""


def test_one_record_of_a_model_of_others_may_take_too_long(
    registered: Store, tmp_path: Path
) -> None:
    """The time of requests is counted on while it takes its own."""
    description = deploy(describe(tmp_path, limits={"seconds": 0.5}), registered)
    files = description.server.models / "1-0"
    whole = files.resolve()
    files.unlink()
    shutil.copytree(whole, files)
    (files / "artifacts" / "model" / "predictor.py").unlink()
    (files / "pyfunc.py").write_text(OF_OTHERS)
    described = yaml.safe_load((files / "MLmodel").read_text())
    del described["metadata"]["model_digest"]
    (files / "MLmodel").write_text(yaml.safe_dump(described))
    with started(description) as asked:
        quick, slow = ({"inputs": [{"height": height}]} for height in (1, 9))
        assert asked.post(slow).refusal[:2] == (504, "DEADLINE_EXCEEDED")
        answer = asked.post(quick)
        assert answer.json == {"predictions": [{"prediction": "Alive", "probability": 0.5}]}
