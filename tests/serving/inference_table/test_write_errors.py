"""Locked spools, foreign tables and full disks delay commits; nothing is lost."""

import logging
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
from support.spool_to_table import Server, names_in
from support.spooled import entry, mount, spool_in

from marvel_kedro.serving.inference_table.delta_writer import TableWriter
from marvel_kedro.serving.inference_table.spool import lag_seconds


@contextmanager
def locked(table: Path) -> Iterator[None]:
    """Make commits fail: the log is a file."""
    log, away = table / "_delta_log", table.with_name("log-away")
    log.rename(away)
    log.write_text("locked")
    try:
        yield
    finally:
        log.unlink()
        away.rename(log)


def test_flush_retries_unwritable_table_and_logs_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.answer("before")
    server.flush()
    with locked(server.table), caplog.at_level(logging.INFO):
        for number in range(5):
            server.answer(str(number))
            assert server.writer.flush(now=True) == 0
            assert server.writer.last_error
        assert len([line for line in caplog.records if line.levelname == "ERROR"]) == 1
        assert str(server.table) in caplog.text
        assert server.writer.flush() == 0, "no attempt during the pause after an error"
        assert lag_seconds(server.spool_folder) > 0
    assert server.flush() == 5
    assert server.names() == ["0", "1", "2", "3", "4", "before"]
    assert "written again" in caplog.text


def test_flush_is_retried_after_pause(tmp_path: Path) -> None:
    server = Server(tmp_path, pause=0.05)
    server.flush()
    with locked(server.table):
        server.answer("a")
        server.writer.flush()
    assert server.writer.flush() == 0
    time.sleep(0.06)
    assert server.writer.flush() == 1


def test_flush_reports_table_with_other_columns(server: Server) -> None:
    pl.DataFrame({"x": [1]}).write_delta(str(server.table))
    server.answer("a")
    assert server.writer.flush() == 0
    assert "has other columns: x" in str(server.writer.last_error)
    shutil.rmtree(server.table)
    assert server.flush() == 1


def test_deleted_table_is_created_again(server: Server) -> None:
    server.answer("a")
    server.flush()
    shutil.rmtree(server.table)
    server.answer("b")
    assert server.flush() == 1
    assert server.names() == ["b"]


def test_second_server_cannot_use_locked_spool(server: Server) -> None:
    server.flush()
    second = TableWriter(server.table, server.spool_folder)
    server.answer("a")
    assert second.flush() == 0
    assert "Another server" in str(second.last_error)
    assert server.flush() == 1
    server.writer.close()
    server.answer("b")
    assert second.flush(now=True) == 1


@pytest.mark.fault
def test_full_disk_delays_commits_and_loses_nothing(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)):
        pytest.skip("a small disk can be mounted only by root")
    try:
        spool = spool_in(tmp_path / "spool")
        writer = TableWriter(disk / "inference", tmp_path / "spool", compact_files=3)
        names: list[str] = []

        def fill() -> str | None:
            for _ in range(60):
                for _ in range(20):
                    names.append(f"{len(names):05}")
                    body = os.urandom(700)
                    assert spool.write(entry(names[-1], request=body))
                spool.rotate()
                writer.flush(now=True)
            return writer.last_error

        assert fill() is not None
        assert 0 < writer.rows < len(names)
        assert lag_seconds(tmp_path / "spool") > 0
        pl.read_delta(str(disk / "inference"))  # whole, as it was
        assert mount("-o", "remount,size=100m", str(disk))
        assert fill() is None
        assert names_in(disk / "inference") == names
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
