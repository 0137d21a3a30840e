"""Pages for people and probes, with their log lines and counts."""

import gc

import pytest
from support.in_process import BODY, InProcess
from support.running_server import EXAMPLE

from marvel_kedro.serving.http.errors import RequestError
from marvel_kedro.serving.telemetry import metrics


def test_pages_answer(endpoint: InProcess) -> None:
    assert (endpoint.get("/ping").status, endpoint.get("/ping").json) == (200, {})
    for path in ("/ping", "/health", "/version"):
        assert endpoint.get(f"{path}/").body == endpoint.get(path).body
    health = endpoint.get("/health")
    assert (health.status, health.json) == (200, {"ready": True, "faults": ""})
    version = endpoint.get("/version").json
    assert version["endpoint"] == "marvel"
    assert version["traffic"] == {"champion": 100, "challenger": 0}
    assert [one["entity_version"] for one in version["served_entities"]] == ["1", "2"]
    assert b"swagger-ui-bundle.js" in endpoint.get("/docs").body
    for name in ("swagger-ui.css", "swagger-ui-bundle.js"):
        assert len(endpoint.get(f"/docs/{name}").body) > 10_000
    head = endpoint.request("HEAD", "/docs")
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) == len(endpoint.get("/docs").body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_pages_accept_get_and_head_only(endpoint: InProcess, method: str) -> None:
    answer = endpoint.request(method, "/health")
    assert answer.error[0] == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/docs/", "/docs/../secret", "/docs/index.html", "/.well-known/databricks-config",
     "/ping\n", "/docs/swagger-ui.css\n", "/" + "x" * 9999],
    ids=lambda path: repr(path[:40]),
)  # fmt: skip
def test_unknown_path_gets_404_with_a_short_message(endpoint: InProcess, path: str) -> None:
    for method in ("GET", "DELETE"):
        answer = endpoint.request(method, path)
        assert answer.error[0] == 404
        assert len(answer.body) < 1000


def test_rejected_request_for_a_page_leaves_no_cycle(endpoint: InProcess) -> None:
    gc.collect()
    gc.disable()
    try:
        assert endpoint.get("/nothing").status == 404
        assert not [found for found in gc.get_objects() if isinstance(found, RequestError)]
    finally:
        gc.enable()


def test_unknown_endpoint_gets_404_that_names_the_known_one(endpoint: InProcess) -> None:
    status, code, message = endpoint.post(BODY, "/serving-endpoints/other/invocations").error
    assert (status, code) == (404, "ENDPOINT_NOT_FOUND")
    assert "marvel" in message


def test_pages_are_logged_unless_probed_and_counted_by_known_path(endpoint: InProcess) -> None:
    before = len(endpoint.log_lines())
    for path in ("/ping", "/health"):
        assert endpoint.get(path).status == 200
    assert len(endpoint.log_lines()) == before
    answers = [
        endpoint.get("/version", traceparent=f"00-{'a' * 32}-{'b' * 16}-01"),
        endpoint.get("/" + "x" * 9999),
        endpoint.request("DELETE", "/ping"),
    ]
    lines = endpoint.log_lines()[before:]
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


def test_failing_page_gets_500_and_its_cause_is_logged(
    endpoint: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OSError("the disk is away")

    monkeypatch.setattr(endpoint.app._pages._entities, "why_not", fail)
    answer = endpoint.get("/version")
    status, code, message = answer.error
    assert (status, code) == (500, "INTERNAL_ERROR")
    assert answer.headers["x-request-id"] in message
    fault, line = endpoint.log_lines()[-2:]
    assert fault["fault"] == "OSError('the disk is away')"
    assert (line["path"], line["status"], line["level"]) == ("/version", 500, "error")
    assert fault["request_id"] == line["request_id"] == answer.headers["x-request-id"]


def test_examples_of_the_description_work_unchanged(endpoint: InProcess) -> None:
    described = endpoint.get("/openapi.json").json
    sent = described["paths"]["/invocations"]["post"]["requestBody"]["content"]
    examples = sent["application/json"]["examples"]
    answers = {name: endpoint.post(example["value"]) for name, example in examples.items()}
    assert len(answers) == 4
    # Swagger UI sends this one on the first click.
    answers["schema"] = endpoint.post(described["components"]["schemas"]["Invocation"]["example"])
    assert {answer.status for answer in answers.values()} == {200}
    assert len({answer.body for answer in answers.values()}) == 1
    fields = set(described["components"]["schemas"]["Record"]["properties"])
    assert fields == set(EXAMPLE) | {"page_id"}
