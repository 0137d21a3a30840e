"""Connections of a worker: slow and greedy clients, and the verified versions of uvicorn."""

import asyncio
import contextlib
import gc
import re
import socket
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import pytest
from support.project import ROOT
from support.uvicorn_server import SECONDS, serving, until
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from marvel_kedro.serving.processes import uvicorn_internals

Handler = Callable[[dict[str, Any]], Awaitable[None]]
GET = b"GET /%d HTTP/1.1\r\nHost: here\r\n\r\n"


class App:
    """An application that records the paths of its requests."""

    def __init__(self, answer: bytes = b"{}") -> None:
        self.requested: list[str] = []
        self.slow: dict[str, float] = {}
        self.port = 0
        self._answer = answer

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, message = b"", {"more_body": True}
        while message.get("more_body"):
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
        self.requested.append(scope["path"])
        await asyncio.sleep(self.slow.get(scope["path"], 0))
        text = self._answer + b" " + scope["path"].encode() + b" %d;" % len(body)
        length = (b"content-length", b"%d" % len(text))
        await send({"type": "http.response.start", "status": 200, "headers": [length]})
        await send({"type": "http.response.body", "body": text})


def test_pipelined_requests_are_answered_in_order_with_bodies_of_any_size() -> None:
    number = 20_000

    async def run() -> bytes:
        app = App()
        async with serving(app):
            reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
            for one in range(number):
                size = 300_000 if one % 2_000 == 0 else one % 7
                head = b"POST /%d HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (one, size)
                writer.write(head + b"x" * size)
            end = b"/%d 0;" % number
            writer.write(GET % number)
            answers = b""
            async with asyncio.timeout(SECONDS):
                while not answers.endswith(end):
                    answers += await reader.read(2**20)
            writer.close()
        assert app.requested == [f"/{one}" for one in range(number + 1)]
        return answers

    answers = asyncio.run(run()).split(b"HTTP/1.1 200 OK")[1:]
    sizes = [300_000 if one % 2_000 == 0 else one % 7 for one in range(number)]
    expected = [b"{} /%d %d;" % item for item in enumerate([*sizes, 0])]
    assert [answer.rpartition(b"\r\n\r\n")[2] for answer in answers] == expected


def waiting() -> int:
    """Return the number of requests that were parsed and have not ended."""
    gc.collect()
    return sum(isinstance(one, RequestResponseCycle) for one in gc.get_objects())


def test_requests_of_a_client_that_never_reads_are_not_parsed_without_limit() -> None:

    async def run() -> tuple[int, int, int]:
        app = App(b"x" * 1000)
        async with serving(app, timeout_keep_alive=60):
            with socket.socket() as client:
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", app.port))
                sent, last = 0, time.monotonic()
                while time.monotonic() - last < 1:  # until the server reads no more
                    with contextlib.suppress(BlockingIOError):
                        sent += client.send(GET % 1 * 10_000)
                        last = time.monotonic()
                    await asyncio.sleep(0.001)
                found = waiting()
            await until(lambda: waiting() == 0)
            return sent // len(GET % 1), len(app.requested), found

    sent, requested, found = asyncio.run(run())
    assert requested < sent
    assert 0 < found < 200


def test_client_that_never_reads_is_disconnected() -> None:
    async def run() -> None:
        app = App(b"x" * 100_000)
        async with serving(app, timeout_keep_alive=1) as server:
            with socket.socket() as client:
                client.setblocking(False)
                await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", app.port))
                client.send(GET % 1 * 500)
                await until(lambda: server.server_state.connections)
                await until(lambda: not server.server_state.connections)
                assert 0 < len(app.requested) < 500
                await until(lambda: waiting() == 0)

    asyncio.run(run())


def test_client_that_reads_slowly_is_not_disconnected() -> None:

    async def run() -> int:
        app = App(b"x" * 1_000_000)
        async with serving(app, timeout_keep_alive=1):
            reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
            writer.write(GET % 1 * 20)
            read = 0
            while read < 20 * 1_000_000:
                found = await asyncio.wait_for(reader.read(2**17), SECONDS)
                assert found
                read += len(found)
                await asyncio.sleep(0.02)
            writer.close()
            return len(app.requested)

    began = time.monotonic()
    assert asyncio.run(run()) == 20
    assert time.monotonic() - began > 2


@pytest.mark.parametrize("sent", [b"GET /2", GET % 2 * 200 + b"GET /2"], ids=["short", "long"])
def test_deadline_of_half_a_request_stops_while_others_are_answered(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    """The server does not read then; afterwards the deadline runs again."""
    monkeypatch.setattr(uvicorn_internals, "HEADER_SECONDS", 0.4)

    async def run() -> bytes:
        app = App()
        app.slow["/1"] = 1.0
        async with serving(app):
            reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
            writer.write(GET % 1 + GET % 2 + sent)
            await until(lambda: len(app.requested) == 2 + sent.count(b"\n\r\n"))
            writer.write(b" HTTP/1.1\r\n\r\n" + GET % 3 + b"GET /4")
            began = time.monotonic()
            found = await asyncio.wait_for(reader.read(), SECONDS)
            assert 0.3 < time.monotonic() - began < 5
            writer.close()
            return found

    answers = asyncio.run(run())
    assert answers.count(b"/2 0;") == 2 + sent.count(b"\n\r\n")
    assert answers.endswith(b"/3 0;")


CHUNKED = b"POST /1 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(("begin", "more"), [
    (b"GET /", b"x"),
    (b"GET / HTTP/1.1\r\nX: ", b"x"),
    (b"GET / HTTP/1.1\r\n", b"X: y\r\n"),
    (CHUNKED + b"1;", b"x"),
    (CHUNKED + b"0\r\nX: ", b"x"),
    (b"", b"\r\n"),
], ids=["line", "header", "headers", "extension", "trailer", "nothing"])  # fmt: skip
def test_client_that_sends_headers_without_end_is_disconnected(begin: bytes, more: bytes) -> None:
    async def run() -> int:
        app = App()
        async with serving(app):
            reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
            writer.write(begin)
            sent = 0
            with contextlib.suppress(ConnectionError):
                async with asyncio.timeout(5):
                    while sent < 2**28:
                        writer.write(more * 2**14)
                        await writer.drain()
                        sent += len(more) * 2**14
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), SECONDS) == b""
            assert app.requested == []
            return sent

    assert asyncio.run(run()) < 2**25  # with the buffers of the kernel


def test_trailers_of_a_body_in_chunks_are_discarded() -> None:

    async def run() -> int:
        app = App()
        async with serving(app) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
            writer.write(CHUNKED + b"0\r\n" + b"X: y\r\n" * 10_000)
            await writer.drain()
            await asyncio.sleep(0.2)
            (protocol,) = server.server_state.connections
            stored = len(list(protocol.scope["headers"]))  # type: ignore[union-attr]
            writer.write(b"\r\n" + GET % 2)
            found = b""
            while not found.endswith(b"/2 0;"):
                found += await asyncio.wait_for(reader.read(2**16), SECONDS)
            writer.close()
            return stored

    assert asyncio.run(run()) == 1


POST = b"POST /1 HTTP/1.1\r\nHost: here\r\n%bContent-Length: %d\r\n\r\n"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
WEBSOCKET = b"connection: keep-alive\r\nConnection: upgrade\r\nUPGRADE: websocket\r\n"
TLS = b"Upgrade: TLS/1.0, HTTP/2.0\r\nConnection: X\r\nConnection: close, Upgrade\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def exchange(*packets: bytes, closes: bool = True, slow: float = 0.0) -> tuple[list[str], bytes]:
    """Send packets one by one; return the requested paths, and the answers up to the close."""

    async def run() -> bytes:
        async with serving(app):
            reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
            for packet in packets:
                writer.write(packet)
                await writer.drain()
                await asyncio.sleep(0.01)
            if not closes:
                writer.write(b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n")
            found = await asyncio.wait_for(reader.read(), SECONDS)
            writer.close()
            return found

    app = App()
    app.slow["/1"] = slow
    return app.requested, asyncio.run(run())


def bodies(answers: bytes) -> list[bytes]:
    """Return the body of each answer; all have status 200."""
    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 200 OK")
    return [part.rpartition(b"\r\n\r\n")[2] for part in answers.split(b"HTTP/1.1 200 OK")[1:]]


@pytest.mark.parametrize("offer", [H2C, WEBSOCKET, TLS], ids=["h2c", "websocket", "tls"])
@pytest.mark.parametrize("cut", ["one packet", "two packets", "in the head", "bytes"])
def test_offered_upgrade_is_ignored(offer: bytes, cut: str) -> None:
    """RFC 9110, 7.8: the request is answered as if it had no offer, once."""
    sent = POST % (offer, 5000) + b"GET / HTTP/1.1\r\n\r\n".ljust(5000)
    at = {"one packet": len(sent), "two packets": len(sent) - 5000, "in the head": 60}.get(cut)
    packets = [sent[:at], sent[at:]] if at else [sent[one : one + 1] for one in range(60)]
    if at is None:
        packets.append(sent[60:])
    closes = b"close" in offer
    requested, answers = exchange(*packets, closes=closes)
    assert requested == ["/1", "/last"][: 2 - closes]
    assert bodies(answers) == [b"{} /1 5000;", b"{} /last 0;"][: 2 - closes]
    assert b"upgrade" not in answers.lower()


def test_requests_pipelined_around_an_offered_upgrade_are_answered_in_order() -> None:
    chunks = b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nTrailer: x\r\n\r\n"
    chunked = b"POST /2 HTTP/1.1\r\n%bTransfer-Encoding: chunked\r\n\r\n%b" % (H2C, chunks)
    empty = b"GET /3 HTTP/1.1\r\n%b\r\n" % WEBSOCKET
    post = POST % (H2C, 4) + b"1234"
    sent = (post + chunked + empty + GET % 4) * 20
    _, answers = exchange(sent, closes=False)
    assert bodies(answers)[:-1] == [b"{} /1 4;", b"{} /2 5;", b"{} /3 0;", b"{} /4 0;"] * 20


def test_client_that_offers_an_upgrade_gets_the_100_continue_that_it_expects() -> None:
    head = POST % (H2C + b"Expect: 100-continue\r\n", 4)
    _, answers = exchange(head, b"1234", closes=False)
    assert answers.startswith(CONTINUE)
    assert bodies(answers.removeprefix(CONTINUE)) == [b"{} /1 4;", b"{} /last 0;"]


def test_client_of_http_1_0_gets_neither_upgrade_nor_100_continue() -> None:
    """RFC 9110, 7.8 and 10.1.1."""
    head = POST % (H2C + b"Expect: 100-continue\r\n", 4)
    _, answers = exchange(head.replace(b"HTTP/1.1", b"HTTP/1.0") + b"1234")
    assert bodies(answers) == [b"{} /1 4;"]


@pytest.mark.parametrize("offer", [b"", H2C], ids=["plain", "offer"])
@pytest.mark.parametrize("times", [1, 30_000])
def test_bytes_beyond_a_body_are_no_request_and_change_no_answer(offer: bytes, times: int) -> None:
    rest = b"left over " * times + GET % 2
    requested, answers = exchange(POST % (offer, 4) + b"1234" + rest, GET % 3, slow=0.2)
    assert requested == ["/1"]
    assert bodies(answers) == [b"{} /1 4;"]
    assert b"connection: close" in answers


@pytest.mark.parametrize(
    "head", [b"CONNECT /2 HTTP/1.1\r\n\r\n", b"CONNECT a:1 HTTP/1.1\r\n\r\n",
             b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ids=["connect", "authority", "preface"],
)  # fmt: skip
def test_what_follows_another_protocol_is_no_request(head: bytes) -> None:
    requested, answers = exchange(head + GET % 2)
    assert requested == []
    assert answers.count(b"HTTP/1.1 ") == answers.count(b"HTTP/1.1 400 ") == 1


@pytest.mark.parametrize("package", uvicorn_internals.VERIFIED_VERSIONS)
def test_installed_version_is_verified(package: str) -> None:
    installed, verified = version(package), uvicorn_internals.VERIFIED_VERSIONS[package]
    assert installed == verified, (
        f"{package} {installed} is installed; serving/processes/uvicorn_internals.py was verified "
        f"with {verified}. Read the changes to uvicorn's protocols/http/httptools_impl.py, "
        "protocols/http/flow_control.py and supervisors/multiprocess.py since then, run "
        "tests/serving/processes, tests/serving/http and tests/faults/test_server_*.py, "
        "and change VERIFIED_VERSIONS."
    )


def test_start_warns_of_another_version(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    uvicorn_internals.warn_of_unverified_versions()
    assert caplog.messages == []
    monkeypatch.setitem(uvicorn_internals.VERIFIED_VERSIONS, "uvicorn", "0.1")
    uvicorn_internals.warn_of_unverified_versions()
    (message,) = caplog.messages
    assert message.startswith(f"uvicorn {version('uvicorn')} is not the verified")
    assert "0.1" in message


def test_no_other_module_imports_uvicorns_internals() -> None:
    internals = re.compile(r"^\s*(?:from|import) uvicorn\.", re.MULTILINE)
    importing = {
        path.name
        for path in (ROOT / "src").rglob("*.py")
        if internals.search(path.read_text("utf-8"))
    }
    assert importing == {"uvicorn_internals.py"}
