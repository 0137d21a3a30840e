"""The inference table has every request exactly once, despite kills and several servers."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable
from support.spool_to_table import Server, names_in, run_script, running


def read_by_all(table: Path) -> dict[str, list[str]]:
    """Return the ids that pandas, Polars and DuckDB read."""
    dataset = DeltaTable(table).to_pyarrow_dataset()
    column = "databricks_request_id"
    duck = duckdb.connect()
    duck.register("inference", dataset)
    rows = duck.execute("SELECT databricks_request_id FROM inference").fetchall()
    return {
        "pandas": list(DeltaTable(table).to_pandas(columns=[column])[column]),
        "polars": pl.read_delta(str(table))[column].to_list(),
        "duckdb": [name for (name,) in rows],
    }


@pytest.mark.fault
def test_two_servers_and_readers_share_table_exactly_once(tmp_path: Path) -> None:
    """Workers are killed, and both servers keep compacting files of the same day."""
    table = tmp_path / "inference"
    spools = [tmp_path / "one", tmp_path / "two"]
    logs = [(tmp_path / f"answered-{number}").open("w+") for number in range(4)]
    workers = [
        run_script("spool_worker.py", spools[number % 2], stdout=log)
        for number, log in enumerate(logs)
    ]
    writers = [
        run_script("table_writer.py", table, spool, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for spool in spools
    ]
    seen = {"pandas": 0, "polars": 0, "duckdb": 0}
    with running(*workers, *writers):
        while not DeltaTable.is_deltatable(str(table)):
            assert all(process.poll() is None for process in writers)
            time.sleep(0.05)
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            for reader, names in read_by_all(table).items():
                assert len(set(names)) == len(names)
                assert len(names) >= seen[reader], "a reader saw less than before"
                seen[reader] = len(names)
        for worker in workers[:2]:
            worker.kill()
        for worker in workers[2:]:
            worker.send_signal(signal.SIGTERM)
        for worker in workers:
            worker.wait(30)
        for writer in writers:
            writer.send_signal(signal.SIGTERM)
        outputs = [writer.communicate(timeout=120) for writer in writers]
    assert all(out.endswith(" None\n") for out, _ in outputs), outputs
    assert min(seen.values()) > 0
    answered = answered_in(logs)
    check_exactly_once(table, answered, workers=4)
    operations = [commit["operation"] for commit in DeltaTable(table).history()]
    assert operations.count("OPTIMIZE") > 3
    assert sum(int(out.split()[0]) for out, _ in outputs) == len(names_in(table))


def answered_in(logs: list[Any]) -> list[str]:
    answered = []
    for log in logs:
        log.seek(0)
        answered += [line.strip() for line in log if line.endswith("\n")]
        log.close()
    return answered


def check_exactly_once(table: Path, answered: list[str], workers: int) -> None:
    """Each answered request is there once, and at most one unanswered per killed worker."""
    names = names_in(table)
    assert len(answered) > 1000
    assert len(set(names)) == len(names)
    assert not set(answered) - set(names)
    assert len(names) - len(answered) <= workers


@pytest.mark.fault
def test_requests_of_killed_workers_are_committed_exactly_once(tmp_path: Path) -> None:
    server = Server(tmp_path)
    logs = [(tmp_path / f"answered-{number}").open("w+") for number in range(8)]
    for first, second in zip(logs[::2], logs[1::2], strict=True):
        pair = [
            run_script("spool_worker.py", server.spool_folder, stdout=log)
            for log in (first, second)
        ]
        with running(*pair):
            while not Path(second.name).stat().st_size or not Path(first.name).stat().st_size:
                server.flush()
            until = time.monotonic() + 0.7
            while time.monotonic() < until:
                server.flush()
    server.flush()
    check_exactly_once(server.table, answered_in(logs), workers=8)
    assert not list(server.spool_folder.glob("batch-*"))
    assert not list(server.spool_folder.glob("*.open"))


@pytest.mark.parametrize("point", ["gathered", "written", "deleting"])
def test_killed_writer_commits_each_batch_exactly_once(server: Server, point: str) -> None:
    server.answer("before")
    server.flush()
    server.writer.close()
    server.answer("a")
    server.answer("b")
    killed = run_script("table_writer.py", server.table, server.spool_folder, point)
    assert killed.wait(60) == -signal.SIGKILL
    assert list(server.spool_folder.glob("batch-*"))
    server.answer("c")
    again = Server(server.table.parent)
    assert again.flush() == (3 if point == "gathered" else 1)
    assert again.names() == ["a", "b", "before", "c"]
    assert not list(server.spool_folder.glob("batch-*"))
    assert again.flush() == 0
