"""The inference table has every request exactly once, despite kills, full disks and locks."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st
from support.examples import at_most
from support.project import clean_environment
from support.spooled import ENTRIES, entry, expected, mount, spool_in

from marvel_kedro.serving.inference_table.delta_writer import TableWriter
from marvel_kedro.serving.inference_table.schema import SCHEMA, SERVED_SCHEMA
from marvel_kedro.serving.inference_table.spool import Entry, lag_seconds

SUPPORT = Path(__file__).parents[2] / "support"
CONTRACT = {
    "databricks_request_id": "string",
    "request_date": "date",
    "client_request_id": "string",
    "request_time": "timestamp",
    "status_code": "int",
    "sampling_fraction": "double",
    "execution_duration_ms": "bigint",
    "request": "string",
    "response": "string",
    "logging_error_codes": "array<string>",
    "served_entity_id": "string",
    "requester": "string",
}
"""Columns of Databricks' inference table in Spark's type names."""


class Server:
    """A spool, a table and its writer, in a folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.spool_folder, self.table = folder / "spool", folder / "inference"
        self.spool = spool_in(self.spool_folder)
        self.writer = TableWriter(self.table, self.spool_folder, **options)

    def answer(self, *names: str, **values: Any) -> None:
        for name in names:
            assert self.spool.write(entry(name, **values)), self.spool.dropped
        self.spool.rotate()

    def flush(self) -> int:
        rows = self.writer.flush(now=True)
        assert self.writer.last_error is None, self.writer.last_error
        return rows

    def names(self) -> list[str]:
        return names_in(self.table)


def names_in(table: Path) -> list[str]:
    column = DeltaTable(table).to_pyarrow_table(columns=["databricks_request_id"])[0]
    return sorted(column.to_pylist())


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def test_table_has_columns_of_databricks_inference_table(server: Server) -> None:
    assert server.flush() == 0
    table = DeltaTable(server.table)
    names = {"integer": "int", "long": "bigint"}
    found = {}
    for field in json.loads(table.schema().to_json())["fields"]:
        kind = field["type"]
        found[field["name"]] = names.get(kind, kind) if isinstance(kind, str) else (
            f"{kind['type']}<{kind['elementType']}>"
        )  # fmt: skip
    assert list(found.items()) == list(CONTRACT.items())
    assert table.metadata().partition_columns == ["request_date"]
    assert all(field.metadata["comment"] for field in table.schema().fields)
    assert table.protocol().min_reader_version == 1, "any reader can"


@pytest.mark.parametrize("comment", ["text of another release", None])
def test_flush_appends_to_tables_with_other_column_comments(
    server: Server, comment: str | None
) -> None:
    metadata = {"comment": comment} if comment else None
    for path, schema in (
        (server.table, SCHEMA),
        (server.table.with_name("served_entities"), SERVED_SCHEMA),
    ):
        fields = [pa.field(field.name, field.type, metadata=metadata) for field in schema]
        days = ["request_date"] if schema is SCHEMA else []
        DeltaTable.create(path, pa.schema(fields), partition_by=days)
    served: dict[str, Any] = dict.fromkeys(SERVED_SCHEMA.names)
    server.writer.note_served([served | {"served_entity_id": "1"}])
    server.answer("a", "b")
    assert server.flush() == 2
    assert server.names() == ["a", "b"]
    table = DeltaTable(server.table.with_name("served_entities")).to_pyarrow_table()
    assert table["served_entity_id"].to_pylist() == ["1"]


@at_most(15)
@given(st.lists(ENTRIES, min_size=1, max_size=10))
def test_flush_commits_every_entry(entries: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        for item in entries:
            assert server.spool.write(item)
        server.spool.rotate()
        assert server.flush() == len(entries)
        rows = DeltaTable(server.table).to_pyarrow_table().to_pylist()
        found = []
        for row in rows:
            assert row.pop("request_date") == row["request_time"].date()
            found.append(row | {"request_time": row["request_time"].timestamp()})
        wanted_rows = [expected(it) | {"request_time": it.request_time / 1e6} for it in entries]
        key = str
        assert sorted((sorted(row.items()) for row in found), key=key) == sorted(
            (sorted(row.items()) for row in wanted_rows), key=key
        )
        server.writer.close()


def test_request_date_is_utc_day_of_request_time(server: Server) -> None:
    last, first = (
        datetime(2026, 3, day, hour, minute, second, micro, tzinfo=UTC)
        for day, hour, minute, second, micro in ((1, 23, 59, 59, 999_999), (2, 0, 0, 0, 0))
    )
    for name, when in (("last", last), ("first", first)):
        server.answer(name, request_time=round(when.timestamp() * 10**6))
    server.flush()
    table = DeltaTable(server.table).to_pandas().set_index("databricks_request_id")
    assert dict(table["request_date"]) == {"last": date(2026, 3, 1), "first": date(2026, 3, 2)}
    assert dict(table["request_time"]) == {"last": last, "first": first}
    assert {path.name for path in server.table.glob("*=*")} == {
        "request_date=2026-03-01",
        "request_date=2026-03-02",
    }


def test_lag_is_age_of_oldest_waiting_file(server: Server) -> None:
    assert lag_seconds(server.spool_folder) == 0
    server.answer("old", request_time=(time.time_ns() // 1000) - 100 * 10**6)
    assert 0 < lag_seconds(server.spool_folder) < 10  # independent of a simulated request time
    (file,) = server.spool_folder.glob("*.closed")
    file.rename(file.with_name(f"{time.time_ns() - 100 * 10**9}-1.closed"))
    assert 100 <= lag_seconds(server.spool_folder) < 110
    server.flush()
    assert lag_seconds(server.spool_folder) == 0


def test_flush_skips_open_file_of_live_worker(server: Server) -> None:
    assert server.spool.write(entry("open"))
    assert server.flush() == 0
    assert lag_seconds(server.spool_folder) > 0
    server.answer("closed")
    assert server.flush() == 2


def test_flush_commits_batches_of_bounded_size(tmp_path: Path) -> None:
    server = Server(tmp_path, batch_bytes=2_000)
    for number in range(30):
        server.answer(str(number))  # about 300 bytes, in a file of its own
    assert server.flush() == 30
    commits = [commit for commit in DeltaTable(server.table).history() if "WRITE" in str(commit)]
    assert 4 <= len(commits) <= 8
    assert len(server.names()) == len(set(server.names())) == 30


def test_flush_sets_damaged_lines_aside_and_counts_them(server: Server) -> None:
    server.answer("a")
    server.answer("b")
    first, second = sorted(server.spool_folder.glob("*.closed"))
    first.write_bytes(first.read_bytes() + b"\0\0\0\nnonsense\n")
    second.write_bytes(second.read_bytes() + b'{"request_time":17')  # torn: never answered
    assert server.flush() == 2
    assert server.writer.damaged == 2
    (aside,) = (server.spool_folder / "damaged").iterdir()
    assert aside.read_bytes() == b"\0\0\0\nnonsense\n"
    assert lag_seconds(server.spool_folder) == 0


def test_damaged_lines_of_several_runs_are_all_kept(tmp_path: Path) -> None:
    """A batch of damaged lines alone is not committed, so the table lacks its number."""
    found = set()
    for number in range(3):
        server = Server(tmp_path)  # started again
        server.answer("a")
        (file,) = server.spool_folder.glob("*.closed")
        file.write_bytes(b"nonsense %d\n" % number)
        assert server.flush() == 0
        assert server.writer.damaged == 1
        server.writer.close()
        found = {path.read_bytes() for path in (server.spool_folder / "damaged").iterdir()}
        assert found == {b"nonsense %d\n" % before for before in range(number + 1)}


def test_retried_batch_sets_damaged_lines_aside_once(tmp_path: Path) -> None:
    """A batch is retried if its commit fails; an unrelated file of the same name is kept."""
    server = Server(tmp_path)
    server.flush()
    batch, aside = server.spool_folder / "batch-7", server.spool_folder / "damaged"
    aside.mkdir()
    (aside / "batch-7.jsonl").write_bytes(b"older\n")
    batch.mkdir()
    (batch / f"{time.time_ns()}-1.closed").write_bytes(b"nonsense\n")
    assert server.flush() == 0
    assert server.writer.damaged == 1
    assert {path.read_bytes() for path in aside.iterdir()} == {b"older\n", b"nonsense\n"}
    (aside / "batch-7.jsonl").write_bytes(b"nonsense\n")
    batch.mkdir()
    (batch / f"{time.time_ns()}-1.closed").write_bytes(b"nonsense\n")
    assert server.flush() == 0
    assert server.writer.damaged == 1


def test_flush_compacts_small_files_and_vacuums_once_a_day(tmp_path: Path) -> None:
    server = Server(tmp_path, compact_files=5)
    count = 0
    for number in range(23):
        server.answer(f"{number:02}")
        server.flush()
        count = max(count, len(DeltaTable(server.table).file_uris()))
    assert count < 5
    assert server.names() == [f"{number:02}" for number in range(23)]
    folder = next(server.table.glob("request_date=*"))
    orphan, fresh = folder / "orphan.parquet", folder / "fresh.parquet"
    orphan.write_bytes(b"left by a server that was killed")
    fresh.write_bytes(b"another server's, not yet committed")
    os.utime(orphan, (time.time() - 90_000, time.time() - 90_000))
    server.answer("next")
    server.flush()
    assert orphan.exists(), "not twice a day"
    stamp = server.spool_folder / "vacuumed"
    os.utime(stamp, (time.time() - 90_000, time.time() - 90_000))
    server.answer("next day")
    server.flush()
    assert not orphan.exists()
    assert fresh.exists()
    assert len(server.names()) == 25


# Two servers, readers


def run_script(name: str, *words: str | Path, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SUPPORT / name), *map(str, words)],
        env=clean_environment() | {"OMP_NUM_THREADS": "1"},
        text=True,
        **options,
    )


@contextmanager
def running(*processes: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


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


def test_flush_ends_while_workers_keep_writing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under load there is always another file, and compaction must still run."""
    server.answer("first")
    move = server.writer._move

    def move_and_answer(batch: Path) -> None:
        move(batch)
        server.answer(f"after {batch.name}")

    monkeypatch.setattr(server.writer, "_move", move_and_answer)
    assert server.flush() == 1
    assert server.flush() == 1


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


# Locks, foreign tables, full disks


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


# Served entities


def served(name: str, **values: str) -> dict[str, Any]:
    return {
        "served_entity_id": name,
        "endpoint_name": "marvel",
        "served_entity_name": "champion",
        "entity_name": "marvel_characters",
        "entity_version": "3",
        "change_time": datetime(2026, 1, 1, tzinfo=UTC),
    } | values


def served_in(folder: Path) -> pd.DataFrame:
    return DeltaTable(folder / "served_entities").to_pandas().sort_values("served_entity_id")


def test_served_entity_is_added_once(server: Server) -> None:
    server.writer.note_served([served("a"), served("b", entity_version="4")])
    server.writer.note_served([served("a")])
    server.flush()
    version = DeltaTable(server.table.with_name("served_entities")).version()
    server.writer.close()
    again = Server(server.table.parent)
    again.writer.note_served([served("b"), served("a")])
    again.flush()
    assert DeltaTable(server.table.with_name("served_entities")).version() == version
    again.writer.note_served([served("b"), served("c")])
    again.flush()
    table = served_in(server.table.parent)
    assert list(table["served_entity_id"]) == ["a", "b", "c"]
    assert list(table["entity_version"]) == ["3", "4", "3"]


def test_concurrent_servers_add_served_entity_once(tmp_path: Path) -> None:
    writers = [TableWriter(tmp_path / "inference", tmp_path / str(n), pause=0) for n in range(4)]

    def note(writer: TableWriter) -> None:
        for number in range(5):
            writer.note_served([served(str(number))])
            for _ in range(20):
                writer.flush()
                if writer.last_error is None:
                    break

    threads = [threading.Thread(target=note, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [writer.last_error for writer in writers] == [None] * 4
    assert list(served_in(tmp_path)["served_entity_id"]) == ["0", "1", "2", "3", "4"]


# Sail and Spark


@pytest.mark.parametrize("engine", ["sail", pytest.param("spark", marks=pytest.mark.spark)])
def test_engine_reads_table_during_writes(engine: str, tmp_path: Path) -> None:
    """The engine runs in a process of its own and attaches the table as the lakehouse does."""
    home = tmp_path / "warehouse" / "marvel_characters"
    worker = run_script("spool_worker.py", tmp_path / "spool", stdout=subprocess.DEVNULL)
    writer = run_script("table_writer.py", home / "inference", tmp_path / "spool")
    with running(worker, writer):
        while not (
            DeltaTable.is_deltatable(str(home / "inference")) and names_in(home / "inference")
        ):
            assert worker.poll() is None
            assert writer.poll() is None
            time.sleep(0.05)
        done = subprocess.run(
            [sys.executable, str(SUPPORT / "engine_reads.py"), engine, str(tmp_path / "warehouse")],
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    counts, kinds = done.stdout.splitlines()[-2:]
    seen = [tuple(map(int, pair.split("/"))) for pair in counts.split()]
    assert len(seen) > 3
    assert all(rows == names > 0 for rows, names in seen)
    assert seen == sorted(seen)
    assert kinds == str(list(CONTRACT.items()))
