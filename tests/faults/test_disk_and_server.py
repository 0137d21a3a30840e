"""A full or read-only disk, and an unreachable tracking server: one message."""

import contextlib
import http.server
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.project import Project

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import tracking


def mount(*words: str) -> bool:
    return subprocess.run(["mount", *words], capture_output=True, check=False).returncode == 0


@pytest.fixture
def small_disk(project: Project, synthetic_path: Path, tmp_path: Path) -> Iterator[Project]:
    """A project on its own small disk, which only root can mount."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.name != "posix" or os.geteuid() != 0 or not mount("-t", "tmpfs", "tmpfs", str(disk)):
        pytest.skip("a small disk can be mounted only by root")
    try:
        shutil.copytree(project.path, disk / "project")
        own = Project(disk / "project")
        shutil.copy(synthetic_path, own.raw)
        yield own
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)


def used_kilobytes(disk: Path) -> int:
    return shutil.disk_usage(disk).used // 1024


@pytest.mark.fault
@pytest.mark.parametrize(
    "free_kilobytes",
    [pytest.param(16, marks=pytest.mark.slow), 300, pytest.param(1200, marks=pytest.mark.slow)],
)
def test_full_disk_is_one_message_and_files_are_whole(
    small_disk: Project, free_kilobytes: int
) -> None:
    disk = small_disk.path.parent
    size = used_kilobytes(disk) + free_kilobytes
    assert mount("-o", f"remount,size={size}k", str(disk))
    outcome = small_disk.kedro("run")
    assert outcome.status == 1, outcome.output
    assert "Traceback" not in outcome.output
    assert "The disk" in outcome.output
    assert "run the same command again" in outcome.output.replace("\n", " ")
    assert not list(small_disk.path.rglob("*.partial"))
    for table in small_disk.path.glob("data/*/*.parquet"):
        small_disk.table(table.stem)  # whole, or not there
    assert mount("-o", "remount,size=1g", str(disk))
    small_disk.run()
    champion = small_disk.client().get_model_version_by_alias("marvel_characters", "champion")
    assert set(small_disk.table("predictions")["model_version"]) == {str(champion.version)}


@pytest.mark.fault
def test_read_only_disk_is_one_message(small_disk: Project) -> None:
    disk = small_disk.path.parent
    assert mount("-o", "remount,ro", str(disk))
    outcome = small_disk.kedro("run")
    assert outcome.status == 1, outcome.output
    assert "Traceback" not in outcome.output
    assert "read-only" in outcome.output
    assert mount("-o", "remount,rw", str(disk))
    small_disk.run()


def test_unreachable_tracking_server_is_one_message(
    project: Project, synthetic_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(synthetic_path, project.raw)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    outcome = project.cli()
    assert outcome.status == 1
    assert f"{address} cannot be reached" in outcome.output.replace("\n", " ")
    assert not list(project.path.glob("data/0[2-9]*/*.*"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    project.run()


@contextlib.contextmanager
def https_server(folder: Path) -> Iterator[tuple[str, str]]:
    """Serve an empty folder with a certificate of its own; yield the address and that file."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=x",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}", str(certificate)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_reachability_check_uses_the_certificates_of_mlflows_client(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with https_server(tmp_path) as (address, certificate):
        with pytest.raises(ProjectError, match="MLFLOW_TRACKING_SERVER_CERT_PATH"):
            tracking.check_reachable(address)
        for name, value in (
            ("MLFLOW_TRACKING_INSECURE_TLS", "true"),
            ("MLFLOW_TRACKING_SERVER_CERT_PATH", certificate),
        ):
            with monkeypatch.context() as patch:
                patch.setenv(name, value)
                tracking.check_reachable(address)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "no.pem"))
        with pytest.raises(ProjectError, match=r"no\.pem"):
            tracking.check_reachable(address)
