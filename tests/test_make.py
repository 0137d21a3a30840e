"""`make ui` and `make viz` open their views."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress

import pytest
from support.project import ROOT, Project, clean_environment

SECONDS = 90
HIGHEST_PORT = 49_151


def free_port() -> int:
    """Return a free port; kedro-viz rejects those above 49151."""
    while True:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = int(unused.getsockname()[1])
        if port <= HIGHEST_PORT:
            return port


def answer(url: str, process: subprocess.Popen[str]) -> str:
    """Return the page as soon as the server answers."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as page:
                return str(page.read().decode())
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    return ""


@pytest.mark.parametrize(
    ("target", "stamp", "title"),
    [("ui", ".base", "MLflow"), ("viz", ".viz", "Kedro-Viz")],
)
def test_view_opens_without_an_activated_environment(
    project: Project, target: str, stamp: str, title: str
) -> None:
    """`kedro mlflow ui` starts `mlflow` by name."""
    shutil.copy(ROOT / "Makefile", project.path)
    port = free_port()
    options = f"--port {port}" + (" --no-browser" if target == "viz" else "")
    environment = clean_environment()
    scripts = os.path.join(sys.prefix, "bin")  # noqa: PTH118
    environment["PATH"] = os.pathsep.join(
        folder for folder in environment["PATH"].split(os.pathsep) if folder != scripts
    )
    words = ["make", target, f"VENV={sys.prefix}", f"ARGS={options}"]
    for old in (".base", stamp):
        words += ["-o", f"{sys.prefix}/{old}"]
    with (project.path / "output").open("w") as output:
        process = subprocess.Popen(
            words,
            cwd=project.path,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            page = answer(f"http://127.0.0.1:{port}/", process)
        finally:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=30)
    assert f"<title>{title}</title>" in page, (project.path / "output").read_text()
