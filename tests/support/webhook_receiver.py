"""A webhook on loopback that writes down what it is sent, and answers as it is told."""

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
class Hook:
    """What it has got, and the statuses that it answers with, 200 when they are used up."""

    url: str
    statuses: list[int] = field(default_factory=list)
    got: list[dict[str, Any]] = field(default_factory=list)
    types: list[str | None] = field(default_factory=list)
    seconds: float = 0


@contextmanager
def running() -> Iterator[Hook]:
    """Run one until the block ends."""
    hook = Hook("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            time.sleep(hook.seconds)
            hook.got.append(json.loads(body))
            hook.types.append(self.headers["content-type"])
            status = hook.statuses.pop(0) if hook.statuses else 200
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"{hook.url}/elsewhere")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://user:{SECRET}@127.0.0.1:{server.server_port}/services/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
