"""A clean environment with the wheel, and a real MLflow server."""

import fcntl
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support.project import ROOT, clean_environment

LOCKS = [ROOT / "requirements" / name for name in ("base.txt", "spark.txt")]


def run(*words: str | Path) -> None:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(autouse=True)
def _delta_jars(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Fetch Delta's jars once: two Sparks that fill one cache at the same time spoil it."""
    if not request.node.get_closest_marker("spark"):
        return
    with Path(sys.prefix, "delta-jars.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not any(Path.home().glob(".ivy2*/jars/io.delta_delta-spark*")):
            start = "from marvel_kedro.databricks import session; session.start('spark', Path('.'))"
            code = f"from pathlib import Path; {start}"
            subprocess.run(
                [sys.executable, "-c", code], cwd=tmp_path, env=clean_environment(), check=True
            )


@pytest.fixture(scope="session")
def wheel_scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scripts of an environment with the wheel and Sail, without this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder)
    (wheel,) = folder.glob("*.whl")
    home = Path(sys.prefix) / "wheel-environment"
    with Path(f"{home}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # workers share it
        uv = [sys.executable, "-m", "uv"]
        install: list[str | Path] = [*uv, "pip", "install", "-q", "--no-deps", "--python", home]
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in LOCKS)).hexdigest()
        done = home / "made-from"
        if not done.exists() or done.read_text() != digest:
            run(*uv, "venv", "-q", "--clear", "--python", sys.executable, home)
            locks = [word for path in LOCKS for word in ("-r", str(path))]
            run(*install, "--require-hashes", "--compile-bytecode", *locks)
            done.write_text(digest)
        run(*install, "--reinstall", wheel)
    return home / "bin"


@pytest.fixture(scope="module")
def mlflow_server(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an MLflow server."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_store, folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
             "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
             "--artifacts-destination", str(folder / "artifacts")],
            cwd=folder,
            env=clean_environment() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(300):
                try:
                    if requests.get(f"{address}/health", timeout=1).ok:
                        break
                except requests.RequestException:
                    time.sleep(0.2)
            yield address
        finally:
            os.killpg(server.pid, 15)
            server.wait(30)
