"""Log pipes that nobody drains, that are drained late, or whose reader has ended."""

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
from support.running_server import RECORD, Server, Store, _end, describe, start, until

pytestmark = pytest.mark.fault

METRIC = "marvel_log_lines_dropped_total"


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    reads, writes = os.pipe()
    yield reads, writes
    os.close(reads)
    os.close(writes)


def fill(writes: int) -> None:
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writes, b"x" * 512)
    os.set_blocking(writes, True)


@contextmanager
def on_pipes(
    folder: Path, store: Store, out: int, err: int
) -> Iterator[tuple[Server, str, requests.Session]]:
    """Start a server whose output a test holds; yield it with its address and a session."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = int(sock.getsockname()[1])
    server = start(store.fetch(describe(folder, port=port)), store.uri, (out, err))
    url = f"http://127.0.0.1:{port}"
    try:
        with requests.Session() as session:
            session.trust_env = False
            until(lambda: session.get(f"{url}/health", timeout=5).status_code == 200, 30)
            yield server, url, session
    finally:
        _end(server)


def request_absent_page(url: str, times: int) -> None:
    """Request a page that does not exist over one connection, fifty times at once."""
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), 10) as sock:
        for _ in range(0, times, 50):
            sock.sendall(b"GET /%b HTTP/1.1\r\n\r\n" % (b"x" * 180) * 50)
            found = b""
            while found.count(b'"message"') < 50:
                found += (part := sock.recv(2**20))
                assert part


def test_pipes_that_nobody_drains_stop_neither_answers_nor_the_end(
    tmp_path: Path, store: Store
) -> None:
    """Both are full from the start on; supervisor and worker write to them."""
    with pipe() as out, pipe() as err:
        fill(out[1])
        fill(err[1])
        with on_pipes(tmp_path, store, out[1], err[1]) as (server, url, session):
            request_absent_page(url, 4000)  # more than the buffer holds
            invalid = session.request("INVALID", url, timeout=5)  # uvicorn logs it
            assert invalid.status_code == 400
            body = {"inputs": [RECORD]}
            answers = [session.post(f"{url}/invocations", json=body, timeout=5) for _ in range(9)]
            assert {answer.status_code for answer in answers} == {200}

            def dropped() -> float:
                text = session.get(f"{url}/metrics", timeout=5).text
                (line,) = [line for line in text.splitlines() if line.startswith(METRIC)]
                return float(line.split()[1])

            assert until(dropped, 10) < 4000
            assert session.get(f"{url}/ping", timeout=5).status_code == 200
            began = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - began < 10
    server.check_rows([answer.headers["x-request-id"] for answer in answers])


def test_lines_are_complete_when_a_pipe_is_drained_late(tmp_path: Path, store: Store) -> None:
    """The pipe does not block, which another program may have set; standard error is closed."""
    with pipe() as out:
        os.set_blocking(out[1], False)
        reads, writes = os.pipe()
        os.close(reads)
        with on_pipes(tmp_path, store, out[1], writes) as (server, url, _):
            os.close(writes)
            request_absent_page(url, 600)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            os.set_blocking(out[0], False)
            found = b""
            while server.process.poll() is None:
                with suppress(BlockingIOError):
                    found += os.read(out[0], 2**16)
                time.sleep(0.01)
            with suppress(BlockingIOError):
                while True:
                    found += os.read(out[0], 2**16)
            assert server.wait() == 0
    assert len(found) > 2 * 2**16
    lines = [json.loads(line) for line in found.splitlines()]
    assert sum(line.get("status") == 404 for line in lines) == 600
