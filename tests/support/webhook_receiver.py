"""A webreceiver on loopback that records its requests and answers with the given statuses."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T0000-s3cr3t-B0000"


@dataclass
class Receiver:
    """A running webreceiver.

    Attributes:
        url: Its address, which contains `SECRET`.
        statuses: Statuses of the next answers; 200 when they are used up.
        messages: The bodies received.
        content_types: Their content types.
        seconds: Delay of each answer.
    """

    url: str
    statuses: list[int] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    content_types: list[str | None] = field(default_factory=list)
    seconds: float = 0


@contextmanager
def running() -> Iterator[Receiver]:
    """Run a webhook until the block ends."""
    receiver = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(receiver.seconds)
            receiver.messages.append(json.loads(body))
            receiver.content_types.append(self.headers["content-type"])
            status = receiver.statuses.pop(0) if receiver.statuses else 200
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"{receiver.url}/elsewhere")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://user:{SECRET}@127.0.0.1:{server.server_port}/services/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
