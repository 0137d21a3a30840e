"""`mlflow models serve` in a process of its own: the reference for bodies and answers."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import requests
from support.project import clean_environment
from support.running_server import until


@contextlib.contextmanager
def mlflow_serving(model: Path, output: Path) -> Iterator[Callable[[], str]]:
    """Serve the files of a model until the end of the block.

    The value is a function that waits until it answers and returns its address.

    Args:
        model: Folder of the model.
        output: The file of its output.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["models", "serve", "-m", str(model), "-p", str(port), "--env-manager", "local"]
    binaries = str(Path(sys.executable).parent)  # it starts uvicorn by its name
    environment = clean_environment()
    with output.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env=environment | {"PATH": f"{binaries}{os.pathsep}{environment['PATH']}"},
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, output.read_text(errors="replace")
        return requests.get(f"{url}/ping", timeout=5).ok

    def address() -> str:
        until(answers)
        return url

    try:
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)
