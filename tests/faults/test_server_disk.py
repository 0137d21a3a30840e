"""The server on a full disk, and with an inference table that cannot be written."""

import contextlib
import fcntl
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.running_server import RECORD, Store, describe, running, until
from support.spooled import mount

pytestmark = pytest.mark.fault


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk, which only root can mount."""
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
    """Fill the disk to its last byte."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
        while True:
            stream.write(b"x" * 4096)
    try:
        yield
    finally:
        ballast.unlink()


def test_full_disk_kills_no_worker_and_every_request_is_counted(
    disk: Path, tmp_path: Path, store: Store
) -> None:
    description = store.fetch(describe(disk, workers=2, inference_table={"max_body_bytes": 10**7}))
    with running(description, store.uri, folder=tmp_path) as server:
        workers = server.workers
        answered = [server.invoke().headers["x-request-id"] for _ in range(20)]
        with filled(disk):
            for number in range(60):
                # Codes without a counter so far, which needs room too.
                answer = server.invoke([RECORD | {"name": "x" * 9000}] if number % 2 else [7])  # type: ignore[list-item]
                assert answer.status_code == (200 if number % 2 else 400)
                answered.append(answer.headers["x-request-id"])
            until(lambda: server.metric("marvel_inference_log_dropped_total") > 0)
            assert server.workers == workers, "a worker died of it"
        answered += [server.invoke().headers["x-request-id"] for _ in range(20)]
        # Counts are published several times a second.
        until(lambda: server.metric("marvel_requests_total") == len(answered))
        until(
            lambda: (
                server.metric("marvel_inference_log_rows_total")
                + server.metric("marvel_inference_log_dropped_total")
                == len(answered)
            )
        )
        dropped = server.metric("marvel_inference_log_dropped_total")
        assert server.workers == workers
    rows = set(server.rows()["databricks_request_id"])
    assert rows <= set(answered)
    assert len(rows) + dropped == len(answered)
    assert 0 < dropped <= 60
    assert set(answered[:20] + answered[-20:]) <= rows
    assert "Traceback" not in server.stderr


def test_rows_wait_while_the_table_cannot_be_written(tmp_path: Path, store: Store) -> None:
    """A file is in the place of its folder, then another process holds its lock."""
    description = store.fetch(describe(tmp_path, compact_files=2))
    tables = description.server.inference_table.parent
    served = tables / "served_entities"
    with running(description, store.uri) as server:
        answered = [server.invoke().headers["x-request-id"]]
        until(lambda: server.metric("marvel_inference_log_rows_total") == 1)
        until(lambda: server.metric("marvel_inference_log_failing") == 0, 10)
        until(served.is_dir)
        away = tables.rename(tables.with_name("away"))
        tables.write_text("not a folder")
        answered += [server.invoke().headers["x-request-id"] for _ in range(10)]
        until(lambda: server.metric("marvel_inference_log_failing") == 1)
        lag = server.metric("marvel_inference_log_lag_seconds")
        until(lambda: server.metric("marvel_inference_log_lag_seconds") > lag + 1)
        assert server.invoke().status_code == 200
        tables.unlink()
        away.rename(tables)
        until(lambda: server.metric("marvel_inference_log_failing") == 0)
        until(lambda: server.metric("marvel_inference_log_lag_seconds") == 0)
        assert server.metric("marvel_inference_log_dropped_total") == 0
        # The locks that servers of the same table hold while they compact files.
        with (
            (tables / "payload" / "_server.lock").open("a") as payload,
            (served / "_server.lock").open("a") as entities,
        ):
            fcntl.flock(payload, fcntl.LOCK_EX)
            fcntl.flock(entities, fcntl.LOCK_EX)
            store.point("champion", "2")
            until(lambda: server.serves() == {"champion": "2"}, 20)
            for _ in range(3):
                answered.append(server.invoke().headers["x-request-id"])
            until(lambda: "another process holds" in server.stderr)
            until(lambda: server.metric("marvel_inference_log_failing") == 1)
        until(lambda: server.metric("marvel_inference_log_failing") == 0, 20)
    server.check_rows(answered)
    assert "Traceback" not in server.stderr
