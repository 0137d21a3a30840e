"""Arbitrary bytes over a socket: no status 500, no hang, no growth of memory."""

import asyncio
import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.http_mix import JSON, exchange, mixed, request
from support.running_server import EXAMPLE, Server, Store, describe, running

VALID = json.dumps({"dataframe_records": [EXAMPLE]}).encode()
SETTINGS = settings(suppress_health_check=[HealthCheck.too_slow])
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3}) ")


def statuses(answer: bytes) -> list[int]:
    """Return the statuses of the answers on a connection."""
    return [int(code) for code in STATUS.findall(answer)]


@pytest.fixture(scope="module")
def port(open_to_all: Server) -> int:
    return open_to_all.port


@pytest.fixture(scope="module")
def open_to_all(registered: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without tokens; the tests fail if one of its workers dies."""
    description = registered.fetch(describe(tmp_path_factory.mktemp("open")))
    with running(description, registered.uri) as server:
        workers = server.workers
        yield server
        assert server.workers == workers, "a worker has died"
        assert "Traceback" not in server.stderr
        assert '"fault"' not in server.stdout


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a valid body with some of its bytes changed, doubled or removed."""
    body = bytearray(VALID)
    for _ in range(draw(st.integers(1, 5))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 10)))
        body[start:end] = draw(st.binary(max_size=10) | st.just(bytes(body[start:end]) * 2))
    return bytes(body)


@SETTINGS
@given(st.binary(max_size=500) | mutated())
def test_any_body_gets_200_or_400(port: int, body: bytes) -> None:
    answer = exchange(port, request(body, JSON, b"Connection: close"))
    (status,) = statuses(answer)
    assert status in (200, 400)


@SETTINGS
@given(st.binary(max_size=300))
def test_any_bytes_get_no_5xx(port: int, sent: bytes) -> None:
    assert all(status < 500 for status in statuses(exchange(port, sent, ends=True)))


CHUNK = b"5\r\nhello\r\n0\r\n\r\n"
TOKEN = st.text("!#$%&'*+-.^_`|~abcXYZ019", min_size=1, max_size=12).map(str.encode)
LINES = st.builds(
    lambda method, path, version: b" ".join([method, path, version]),
    st.sampled_from([b"POST", b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE", b"post"]),
    st.sampled_from(
        [b"/invocations", b"/", b"/docs", b"/ping", b"/%00", b"/invocations?a=b", b"*",
         b"//", b"/%ff",
         b"http://here/invocations", b"/docs/%2e%2e/%2e%2e/etc/passwd", b"/metrics", b"/version"]
    ),
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b""]),
)  # fmt: skip
HEADERS = st.sampled_from(
    [JSON, JSON, b"Content-Type: application/json;;;=", b"Content-Type: \xff\x80",
     b"Content-Length: 5", b"Content-Length: 99999", b"Content-Length: -1", b"Content-Length: x",
     b"Content-Length: 184467440737095516160", b"Transfer-Encoding: chunked",
     b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue", b"Expect: 200-ok",
     b"Connection: keep-alive", b"Connection: close", b"Connection: upgrade", b"Upgrade: websocket",
     b"Upgrade: h2c", b"traceparent: 00-x", b"Authorization: Bearer \xff", b"Authorization:",
     b"x-simulated-time: now", b"Host: a", b"X-Long: " + b"x" * 8000]
) | st.builds(lambda name, value: name + b": " + value, TOKEN,
              st.binary(max_size=30).map(lambda v: v.translate(None, b"\r\n")))  # fmt: skip


@SETTINGS
@given(LINES, st.lists(HEADERS, max_size=5), st.sampled_from([VALID, b"", CHUNK]))
def test_any_line_and_headers_get_no_5xx(
    port: int, line: bytes, headers: list[bytes], body: bytes
) -> None:
    answer = exchange(port, request(body, *headers, line=line), ends=True)
    assert all(status < 500 for status in statuses(answer))


@SETTINGS
@given(st.lists(st.integers(1, len(VALID)), max_size=6), st.booleans())
def test_body_in_chunks_is_scored_if_complete(port: int, cuts: list[int], whole: bool) -> None:
    edges = sorted({0, len(VALID), *cuts})
    parts = [VALID[a:b] for a, b in itertools.pairwise(edges)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    body += b"0\r\n\r\n" if whole else b""
    answer = exchange(
        port,
        request(body, JSON, b"Transfer-Encoding: chunked", b"Connection: close"),
        ends=not whole,
    )
    assert statuses(answer) == ([200] if whole else [])


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    ping = request(b"", line=b"GET /ping HTTP/1.1")
    sent = [request(VALID, JSON), request(b"{", JSON), ping, request(VALID), request(VALID, JSON)]
    last = request(VALID, JSON, b"Connection: close")
    assert statuses(exchange(port, b"".join([*sent * 10, last]))) == [
        200,
        400,
        200,
        415,
        200,
    ] * 10 + [200]


def test_connection_of_http_1_0_is_closed(port: int) -> None:
    answer = exchange(port, request(VALID, JSON, line=b"POST /invocations HTTP/1.0"))
    assert statuses(answer) == [200]


@pytest.mark.parametrize("method", [b"HEAD", b"OPTIONS", b"GET"])
def test_answer_to_head_has_no_body(port: int, method: bytes) -> None:
    answer = exchange(
        port, request(b"", b"Connection: close", line=method + b" /invocations HTTP/1.1")
    )
    assert statuses(answer) == [405]
    assert answer.endswith(b"\r\n\r\n") == (method == b"HEAD")


def test_wrong_content_length_is_never_scored(port: int) -> None:
    short = request(VALID, JSON, b"Content-Length: %d" % (len(VALID) - 5))
    assert statuses(exchange(port, short, ends=True))[:1] in ([], [400])
    assert (
        statuses(exchange(port, request(VALID, JSON, b"Content-Length: 9999"), ends=True)) == []
    )  # the server waits


# --- many requests ---

CLIENTS = 16


async def send_many(port: int, requests: int, seed: int) -> Counter[int]:
    """Send requests over persistent connections, and count the answers by status."""
    counts: Counter[int] = Counter()

    async def client(number: int) -> None:
        source = random.Random(f"{seed}/{number}")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(requests // CLIENTS):
            writer.write(mixed(source))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            length = re.search(rb"content-length: (\d+)", head)
            assert length
            await reader.readexactly(int(length[1]))
            counts[int(head.split(b" ", 2)[1])] += 1
        writer.close()

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return counts


def memory(server: Server) -> float:
    """Return the memory of the worker in MiB."""
    (worker,) = server.workers
    return psutil.Process(worker).memory_info().rss / 2**20


@pytest.mark.fault
@pytest.mark.parametrize("requests", [4000, pytest.param(20_000, marks=pytest.mark.slow)])
def test_memory_does_not_grow_once_the_feature_caches_are_full(
    registered: Store, tmp_path: Path, requests: int
) -> None:
    with running(describe(tmp_path), registered.uri) as server:
        counts = asyncio.run(send_many(server.port, requests, 1))
        before = memory(server)
        counts += asyncio.run(send_many(server.port, requests, 2))
        grown = memory(server) - before
    assert counts.total() == 2 * requests
    assert set(counts) == {200, 400, 404}
    assert min(counts.values()) > requests / 40
    assert grown < 4, f"{before:.1f} MiB, and {grown:.1f} more"
