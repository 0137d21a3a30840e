"""Very many clients, slow clients, and clients that disconnect."""

import asyncio
import contextlib
import json
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from support.running_server import RECORD, Load, Server, Store, describe, running, until

pytestmark = pytest.mark.fault

BATCH = {"dataframe_records": [RECORD] * 10_000}
JSON = {"Content-Type": "application/json"}


@contextmanager
def many_files(connections: int) -> Iterator[int]:
    """Raise the limit of open files; yield how many connections this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield min(connections, hard - 500)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    "connections", [1000, pytest.param(10_000, marks=pytest.mark.slow)], ids="{:,}".format
)
def test_requests_are_answered_beside_idle_connections(
    tmp_path: Path, store: Store, connections: int
) -> None:
    description = store.fetch(describe(tmp_path, workers=2))
    with running(description, store.uri) as server, many_files(connections) as number:
        opened = asyncio.run(_open_and_request(server, number))
        assert opened == number
        print(f"{number:,} connections at once")
        assert "Traceback" not in server.stderr


async def _open_and_request(server: Server, number: int) -> int:
    """Hold connections that have been used once; send requests on new ones and on some of them."""
    body = json.dumps({"dataframe_records": [RECORD]}).encode()
    request = (
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )

    async def invoke(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request)
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert head.startswith(b"HTTP/1.1 200"), head
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await reader.readexactly(length)

    held: list[Any] = []
    for begin in range(0, number, 500):
        these = await asyncio.gather(
            *(asyncio.open_connection("127.0.0.1", server.port)
              for _ in range(min(500, number - begin)))
        )  # fmt: skip
        # One in five never sends a byte.
        await asyncio.gather(*(invoke(*one) for place, one in enumerate(these) if place % 5))
        held += these
    took = []
    for _ in range(100):
        began = time.perf_counter()
        one = await asyncio.open_connection("127.0.0.1", server.port)
        await invoke(*one)
        took.append(time.perf_counter() - began)
        one[1].close()
    assert sorted(took)[50] < 0.1
    assert max(took) < 2
    await asyncio.gather(*(invoke(*one) for one in held[-400:]))
    for _, writer in held:
        writer.transport.abort()
    return len(held)


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=25)


def head(length: int) -> bytes:
    return (
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n" % length
    )


def drip(sock: socket.socket, text: bytes) -> None:
    """Send a byte every 0.2 s until the server closes the connection."""
    try:
        for byte in text * 100:
            sock.sendall(bytes([byte]))
            time.sleep(0.2)
    except OSError:
        pass


def all_of(sock: socket.socket, end: bytes | None = None) -> bytes:
    """Read until the server closes the connection, or up to an end."""
    found = b""
    try:
        while part := sock.recv(65536):
            found += part
            if end and found.endswith(end):
                break
    except ConnectionResetError:
        pass
    return found


def test_slow_clients_are_disconnected_and_delay_no_others(tmp_path: Path, store: Store) -> None:
    description = store.fetch(describe(tmp_path, limits={"seconds": 1}))
    with running(description, store.uri) as server:
        by_headers, by_body, silent = connect(server), connect(server), connect(server)
        began = time.monotonic()
        by_body.sendall(head(100_000))
        slow = [
            Thread(target=drip, args=(by_headers, b"GET /ping HTTP/1.1\r\nX: " + b"y" * 99)),
            Thread(target=drip, args=(by_body, b"xyz")),
        ]
        for thread in slow:
            thread.start()
        with Load(server, clients=2) as load:
            time.sleep(0.5)
        assert {answer.status for answer in load.answers} == {200}
        answer = all_of(by_body)  # to the end of the connection
        assert answer.startswith(b"HTTP/1.1 504")
        assert b"DEADLINE_EXCEEDED" in answer
        assert b"The body did not arrive in full within 1 seconds" in answer
        assert all_of(by_headers) == b""
        assert all_of(silent) == b""
        assert 9 < time.monotonic() - began < 18
        for thread in slow:
            thread.join()
        until(lambda: server.metric("marvel_requests_total", code="504") == 1)
        until(lambda: server.metric("marvel_requests_in_progress") == 0, 5)
        assert "Traceback" not in server.stderr + server.stdout


def test_clients_that_disconnect_leave_no_request_in_progress(tmp_path: Path, store: Store) -> None:
    description = store.fetch(describe(tmp_path, limits={"seconds": 20}))
    body = json.dumps(BATCH).encode()
    with running(description, store.uri) as server:
        for _ in range(10):  # in the middle of the body
            with connect(server) as sock:
                sock.sendall(head(len(body)) + body[:1000])
        until(lambda: server.metric("marvel_clients_gone_total") == 10, 10)
        for _ in range(3):  # during scoring, and in the middle of the answer
            with connect(server) as sock:
                sock.sendall(head(len(body)) + body)
            with connect(server) as sock:
                sock.sendall(head(len(body)) + body)
                assert sock.recv(100).startswith(b"HTTP/1.1 200")
        until(lambda: server.metric("marvel_requests_total", code="200") == 6, 20)
        until(lambda: server.metric("marvel_requests_in_progress") == 0, 10)
        assert server.invoke().status_code == 200
    assert len(server.rows()) == 7
    assert "Traceback" not in server.stderr
    assert '"level":"error"' not in server.stdout + server.stderr


def test_late_batch_gets_504_and_concurrent_request_429(tmp_path: Path, store: Store) -> None:
    limits = {"concurrency": 1, "seconds": 0.05, "retry_after": 3, "records": 100_000}
    batch = {"dataframe_records": [RECORD] * 50_000}  # a second or so
    description = store.fetch(describe(tmp_path, limits=limits))
    with running(description, store.uri) as server:
        late = server.ask("/invocations", "POST", json=batch)
        assert late.status_code == 504
        assert late.json()["error_code"] == "DEADLINE_EXCEEDED"
        until(lambda: server.invoke().status_code == 200, 10)
        until(lambda: server.metric("marvel_requests_total", code="504") == 1, 5)
    description = describe(tmp_path, limits=limits | {"seconds": 30})
    with running(description, store.uri) as server:
        found: list[int] = []

        def score_batch() -> None:
            found.append(server.ask("/invocations", "POST", json=batch).status_code)

        slow = Thread(target=score_batch)
        slow.start()
        busy = until(lambda: [one for one in [server.invoke()] if one.status_code != 200], 10)[0]
        assert busy.status_code == 429
        assert busy.headers["retry-after"] == "3"
        assert busy.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
        slow.join()
        assert found == [200]
        assert server.invoke().status_code == 200
        until(lambda: server.metric("marvel_requests_total", code="429") >= 1, 5)
        assert "Traceback" not in server.stderr


def test_large_bodies_beyond_the_limit_get_429_until_others_end(
    tmp_path: Path, store: Store
) -> None:
    size = 2**20
    limits = {"body_bytes": size, "held_bytes": 2 * size, "retry_after": 3}
    body = json.dumps({"dataframe_records": [RECORD]}).ljust(size).encode()
    description = store.fetch(describe(tmp_path, limits=limits))
    with running(description, store.uri) as server, contextlib.ExitStack() as opened:
        held = [opened.enter_context(connect(server)) for _ in range(2)]
        for sock in held:
            sock.sendall(head(size) + body[:1000])
        more = opened.enter_context(connect(server))
        until(lambda: server.metric("marvel_requests_in_progress") == 2, 10)
        more.sendall(head(size) + body)
        answer = all_of(more, b"}")
        assert answer.startswith(b"HTTP/1.1 429")
        assert b"\r\nretry-after: 3\r\n" in answer
        assert server.invoke().status_code == 200  # a small body
        held[0].sendall(body[1000:])
        assert held[0].recv(100).startswith(b"HTTP/1.1 200")
        held[1].close()
        until(lambda: server.metric("marvel_clients_gone_total") == 1, 10)
        for _ in range(3):
            answered = server.ask("/invocations", "POST", data=body, headers=JSON)
            assert answered.status_code == 200
        assert "Traceback" not in server.stderr
