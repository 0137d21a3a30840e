"""The demo's server: `kedro serve` in a process of its own, and its state over HTTP."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

from marvel_kedro.core.errors import ProjectError

TIMEOUT_SECONDS = 60.0
"""Maximum time to start, to follow an alias, and to write the inference table."""


class DemoServer:
    """The server of the demo's project, on a port of this machine."""

    def __init__(self, folder: Path, port: int) -> None:
        self._folder = folder
        self.url = f"http://127.0.0.1:{port}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the server until the context ends; its output goes to `server.log`."""
        with (self._folder / "server.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "kedro", "serve"],
                cwd=self._folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": str(self._folder / "src")},
            )
            try:
                wait_until("the server to start", lambda: self._is_ready(process))
                yield
            finally:
                process.terminate()
                process.wait()

    def _is_ready(self, process: "subprocess.Popen[bytes]") -> bool:
        if process.poll() is not None:
            log = self._folder / "server.log"
            raise ProjectError(f"The server ended at once; {log} has the reason.")
        return self._get("health", seconds=1).ok

    def _get(self, page: str, seconds: float = 5) -> requests.Response:
        return requests.get(f"{self.url}/{page}", timeout=seconds)

    def traffic(self) -> dict[str, int]:
        """Return the percentages of the traffic by served entity."""
        shares: dict[str, int] = self._get("version").json()["traffic"]
        return shares

    def champion_version(self) -> str | None:
        """Return the version that is served as champion."""
        served: list[dict[str, Any]] = self._get("version").json()["served_entities"]
        versions = (each["entity_version"] for each in served if each["name"] == "champion")
        return next(map(str, versions), None)

    def logged_requests(self) -> int:
        """Return the number of requests in the inference table."""
        name = "marvel_inference_log_rows_total"
        lines = self._get("metrics").text.splitlines()
        return int(sum(float(line.split()[1]) for line in lines if line.startswith(name)))


def wait_until(what: str, condition: Callable[[], bool]) -> None:
    """Poll a condition of the server until it is true.

    Raises:
        ProjectError: It is not true within `TIMEOUT_SECONDS`.
    """
    end = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < end:
        with suppress(requests.RequestException):
            if condition():
                return
        time.sleep(0.1)
    raise ProjectError(
        f"Waited {TIMEOUT_SECONDS:.0f} s for {what}. Read server.log in the demo's folder."
    )


def free_port() -> int:
    """Return a port of this machine that no process uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
