"""Requests as bytes for a socket: malformed ones, and the mix of a load."""

import json
import random
import socket
import string
from typing import Any

from support.running_server import EXAMPLE


def request(body: bytes, *headers: bytes, line: bytes = b"POST /invocations HTTP/1.1") -> bytes:
    """Build a request; its length is added unless a header delimits the body."""
    lines = [line, b"Host: here", *headers]
    if not any(
        header.lower().startswith((b"content-length", b"transfer-enc")) for header in headers
    ):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


JSON = b"Content-Type: application/json"


def mixed(source: random.Random) -> bytes:
    """Build a valid, invalid or random request, whose values nearly never occur in another one."""
    name = "".join(source.choices(string.ascii_letters, k=source.choice((3, 10, 100, 300))))
    record: dict[str, Any] = EXAMPLE | {
        "name": name, "universe": f"Earth-{source.randrange(10**9)}", "origin": name[::-1],
        "teams": f"{name}; {source.random()}", "height": source.random() * 10,
    }  # fmt: skip
    if source.random() < 0.2:
        record |= {"page_id": f"{name}_(Earth-616)", name: name}
    body: Any = {"dataframe_records": [record] * source.choice((1, 1, 1, 1, 2, 5))}
    if source.random() < 0.5:
        body["client_request_id"] = f"{name}-{source.random()}"
    kind = source.random()
    if kind < 0.1:
        body = {name: [record]}
    elif kind < 0.2:
        record[source.choice(list(EXAMPLE))] = [name]
    sent = json.dumps(body).encode()
    if 0.2 < kind < 0.3:
        sent = sent[: source.randrange(len(sent))]
    elif 0.3 < kind < 0.4:
        sent = source.randbytes(source.randrange(300))
    elif 0.4 < kind < 0.45:
        return request(b"", line=f"GET /{name} HTTP/1.1".encode())
    elif 0.45 < kind < 0.5:
        return request(sent, JSON, f"X-{name}: {name}".encode(), f"traceparent: {name}".encode())
    return request(sent, JSON)


def exchange(port: int, sent: bytes, seconds: float = 10, *, ends: bool = False) -> bytes:
    """Send bytes and read until the server closes the connection.

    Args:
        port: Port of the server on this machine.
        sent: The bytes.
        seconds: Timeout of each operation.
        ends: Whether to close the sending side; the server may close before it has answered then.

    Raises:
        TimeoutError: The server neither answers nor closes.
    """
    with socket.create_connection(("127.0.0.1", port), seconds) as connection:
        try:
            connection.sendall(sent)
            if ends:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the server has closed the connection
        parts = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
        return b"".join(parts)
