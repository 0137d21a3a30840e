"""The server on a full disk, and with an inference table that cannot be written."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from server.running import RECORD, Store, describe, running, until
from server.spooled import mount

pytestmark = pytest.mark.fault


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk, which needs the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ("-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder))
    if os.geteuid() != 0 or not mount(*options):
        pytest.skip("a small disk can be mounted only by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is free."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"x" * 4096)
    try:
        yield
    finally:
        ballast.unlink()


def test_a_full_disk(disk: Path, tmp_path: Path, store: Store) -> None:
    description = store.fetch(describe(disk, workers=2, inference_table={"max_body_bytes": 10**7}))
    with running(description, store.uri, folder=tmp_path) as server:
        workers = server.workers
        answered = [server.invoke().headers["x-request-id"] for _ in range(20)]
        with filled(disk):
            for number in range(60):
                # Codes that were not counted yet: their counters want room as well.
                answer = server.invoke([RECORD | {"name": "x" * 9000}] if number % 2 else [7])  # type: ignore[list-item]
                assert answer.status_code == (200 if number % 2 else 400)
                answered.append(answer.headers["x-request-id"])
            until(lambda: server.metric("marvel_inference_log_dropped_total") > 0)
            assert server.workers == workers, "a worker died of it"
        answered += [server.invoke().headers["x-request-id"] for _ in range(20)]
        until(lambda: server.metric("marvel_inference_log_lag_seconds") == 0)
        dropped = server.metric("marvel_inference_log_dropped_total")
        assert server.metric("marvel_requests_total") == len(answered)
        assert server.workers == workers
    rows = set(server.rows()["databricks_request_id"])
    assert rows <= set(answered)
    assert len(rows) + dropped == len(answered)
    assert 0 < dropped <= 60
    assert set(answered[:20] + answered[-20:]) <= rows
    assert "Traceback" not in server.said
