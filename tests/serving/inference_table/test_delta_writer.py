"""The writer moves the spool to the table in batches, and keeps the table small."""

import os
import tempfile
import time
from pathlib import Path

import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st
from support.examples import at_most
from support.spool_to_table import Server
from support.spooled import ENTRIES, entry, expected

from marvel_kedro.serving.inference_table.spool import Entry, lag_seconds


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
