"""The spool of a worker, on a full disk as well."""

import os
import resource
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.spooled import ENTRIES, entry, expected, lines_in, mount, spool_in

from marvel_kedro.serving.configuration import InferenceTableOptions
from marvel_kedro.serving.inference_table.spool import Entry, Spool, lag_seconds


@given(st.lists(ENTRIES, min_size=1, max_size=20))
def test_spool_lines_contain_every_entry(entries: list[Entry]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = spool_in(Path(folder))
        assert all(spool.write(item) for item in entries)
        rows = lines_in(Path(folder)).to_pylist()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    for row, item in zip(rows, entries, strict=True):
        time = epoch + timedelta(microseconds=item.request_time)
        assert row.pop("request_time") == time
        assert row.pop("request_date") == time.date()
        assert row == expected(item)


def test_too_long_bodies_are_replaced_by_error_codes(tmp_path: Path) -> None:
    spool = spool_in(tmp_path, max_body_bytes=10)
    for request, response in ((10, 10), (11, 10), (10, 11), (11, 11)):
        spool.write(entry(request=b"x" * request, response=b"y" * response))
    rows = lines_in(tmp_path).select(["request", "response", "logging_error_codes"]).to_pylist()
    too_long = ["MAX_REQUEST_SIZE_EXCEEDED", "MAX_RESPONSE_SIZE_EXCEEDED"]
    assert [tuple(row.values()) for row in rows] == [
        ("x" * 10, "y" * 10, []),
        (None, "y" * 10, too_long[:1]),
        ("x" * 10, None, too_long[1:]),
        (None, None, too_long),
    ]


def test_sampling_is_proportional_and_equal_in_all_workers(tmp_path: Path) -> None:
    names = [uuid.UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128).hex
             for number in range(20_000)]  # fmt: skip
    samples = []
    for worker in ("one", "two"):
        spool = spool_in(tmp_path / worker, sampling_fraction=0.1)
        assert all(spool.write(entry(name)) for name in names)
        assert not spool.dropped
        samples.append(lines_in(tmp_path / worker))
    first, second = (set(table["databricks_request_id"].to_pylist()) for table in samples)
    assert first == second
    assert 1_800 < len(first) < 2_200  # five standard deviations
    assert set(samples[0]["sampling_fraction"].to_pylist()) == {0.1}


def test_full_spool_drops_requests_and_recovers(tmp_path: Path) -> None:
    drops: list[tuple[str, int]] = []
    spool = Spool(tmp_path, InferenceTableOptions(), 3000, on_drop=lambda *it: drops.append(it))
    results = [spool.write(entry(str(number))) for number in range(20)]
    kept = sum(results)
    assert 5 < kept < 20
    assert results == [True] * kept + [False] * (20 - kept)
    assert spool.dropped == {"spool_full": 20 - kept}
    assert drops == [("spool_full", 1)] * (20 - kept)
    spool.rotate()
    assert not spool.write(entry())
    (closed,) = tmp_path.glob("*.closed")
    assert len(lines_in(tmp_path)) == kept
    other = spool_in(tmp_path, spool_bytes=3000)
    assert not other.write(entry()), "the limit is for all workers"
    closed.unlink()
    spool.rotate()
    assert spool.write(entry())


def test_file_is_closed_at_segment_size(tmp_path: Path) -> None:
    spool = Spool(tmp_path, InferenceTableOptions(), 10**9, segment_bytes=2000)
    for number in range(40):
        assert spool.write(entry(str(number)))
    closed = list(tmp_path.glob("*.closed"))
    assert len(closed) > 2
    assert all(2000 <= path.stat().st_size < 2500 for path in closed)
    assert len(list(tmp_path.glob("*.open"))) <= 1
    assert lines_in(tmp_path)["databricks_request_id"].to_pylist() == [str(n) for n in range(40)]


def test_deleted_file_is_counted_as_lost_segment(tmp_path: Path) -> None:
    spool = spool_in(tmp_path / "spool")
    for _ in range(3):
        assert spool.write(entry())
    (file,) = (tmp_path / "spool").iterdir()
    file.unlink()
    (tmp_path / "spool").rmdir()
    spool.rotate()
    assert spool.dropped == {"segment_lost": 3}
    assert spool.write(entry())
    assert len(lines_in(tmp_path / "spool")) == 1


def test_unusable_folder_is_counted_as_io_error(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    folder.write_text("in the way")
    spool = spool_in(folder)
    assert not spool.write(entry())
    spool.rotate()
    assert spool.dropped == {"io": 1}
    folder.unlink()
    assert spool.write(entry())


def test_lag_counts_from_the_creation_of_the_oldest_file(tmp_path: Path) -> None:
    assert lag_seconds(tmp_path) == 0
    before = time.time()
    spool = spool_in(tmp_path)
    spool.write(entry(request_time=0))
    between = time.time()
    spool.rotate()
    spool.write(entry(request_time=0))
    found = time.time() - lag_seconds(tmp_path)
    assert before - 0.1 <= found <= between + 0.1


@pytest.fixture
def limited_files() -> Iterator[int]:
    """Limit the size of files of this process: a full disk that needs no privileges."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield 5_000
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_partial_line_is_removed_when_file_is_full(tmp_path: Path, limited_files: int) -> None:
    spool = spool_in(tmp_path)
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limited_files, hard))
    results = [spool.write(entry(str(number))) for number in range(40)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    kept = sum(results)
    assert 5 < kept < 40
    assert spool.dropped == {"disk_full": 40 - kept}
    assert spool.write(entry("after"))
    names = [str(number) for number, result in enumerate(results) if result]
    assert lines_in(tmp_path)["databricks_request_id"].to_pylist() == [*names, "after"]


@pytest.mark.fault
def test_full_disk_drops_requests_and_recovers(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)):
        pytest.skip("a small disk can be mounted only by root")
    try:
        spool = spool_in(disk / "spool")
        blocker = disk / "blocker"
        blocker.write_bytes(b"x" * 100_000)
        results = [spool.write(entry(f"{n}", request=b"x" * 997)) for n in range(300)]
        assert 50 < sum(results) < 200
        assert not results[-1]
        spool.rotate()
        assert not spool.write(entry("full", request=b"x" * 50_000))
        blocker.unlink()
        results += [spool.write(entry(f"{n}", request=b"x" * 997)) for n in range(300, 350)]
        assert all(results[300:])
        assert spool.dropped == {"disk_full": results.count(False) + 1}
        names = [str(number) for number, result in enumerate(results) if result]
        assert lines_in(disk / "spool")["databricks_request_id"].to_pylist() == names
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
