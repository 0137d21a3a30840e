"""Atomic writes through fsspec's local filesystem."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import fsspec
import pandas as pd
import pytest
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import ParquetDataset

from marvel_kedro.core.atomic_files import write_files_atomically

write_files_atomically()


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_kedro_datasets_write_and_read_through_filesystem(tmp_path: Path) -> None:
    table = ParquetDataset(filepath=str(tmp_path / "deep" / "t.parquet"))
    table.save(pd.DataFrame({"a": [1]}))
    assert table.load()["a"].to_list() == [1]
    text = JSONDataset(filepath=str(tmp_path / "deep" / "t.json"))
    text.save({"ä": 1})
    assert text.load() == {"ä": 1}
    assert entries(tmp_path / "deep") == ["t.json", "t.parquet"]


@pytest.mark.parametrize("mode", ["w", "wb"])
def test_failed_write_leaves_old_file(tmp_path: Path, mode: str) -> None:
    target = tmp_path / "t"
    target.write_text("old")

    def write() -> None:
        with fsspec.filesystem("file").open(str(target), mode) as file:
            file.write("half" if mode == "w" else b"half")
            raise RuntimeError("failed")

    with pytest.raises(RuntimeError, match="failed"):
        write()
    assert target.read_text() == "old"
    assert entries(tmp_path) == ["t"]


def test_dataset_that_fails_half_way_leaves_old_file(tmp_path: Path) -> None:
    dataset = JSONDataset(filepath=str(tmp_path / "t.json"))
    dataset.save({"old": 1})
    with pytest.raises(Exception, match="not JSON serializable"):
        dataset.save({"new": [1] * 1000, "bad": object()})
    assert json.loads((tmp_path / "t.json").read_text()) == {"old": 1}
    assert entries(tmp_path) == ["t.json"]


def test_full_disk_leaves_old_file_and_no_partial_file(tmp_path: Path) -> None:
    """The size limit of a process stands for a full disk: the kernel rejects the write."""
    program = f"""
import resource, signal, sys
from marvel_kedro.core.atomic_files import write_files_atomically
import fsspec
write_files_atomically()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with fsspec.filesystem("file").open({str(tmp_path / "t")!r}, "wb") as file:
    file.write(b"x" * 100_000)
"""
    (tmp_path / "t").write_text("old")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert "File too large" in done.stderr
    assert (tmp_path / "t").read_text() == "old"
    assert entries(tmp_path) == ["t"]


def test_next_writer_removes_partial_file_of_killed_writer(tmp_path: Path) -> None:
    program = f"""
import os, signal, fsspec
from marvel_kedro.core.atomic_files import write_files_atomically
write_files_atomically()
with fsspec.filesystem("file").open({str(tmp_path / "t")!r}, "w") as file:
    file.write("half"); file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(entries(tmp_path)) == 1
    assert not (tmp_path / "t").exists()
    with fsspec.filesystem("file").open(str(tmp_path / "t"), "w") as file:
        file.write("new")
    assert entries(tmp_path) == ["t"]
    assert (tmp_path / "t").read_text() == "new"


def test_partial_file_of_running_writer_is_kept(tmp_path: Path) -> None:
    other = tmp_path / f".t.{os.getppid()}.partial"
    other.write_text("in the making")
    with fsspec.filesystem("file").open(str(tmp_path / "t"), "w") as file:
        file.write("mine")
    assert other.exists()


def test_reading_and_appending_work_as_in_fsspec(tmp_path: Path) -> None:
    files = fsspec.filesystem("file")
    for mode, text in (("w", "a"), ("a", "b")):
        with files.open(str(tmp_path / "t"), mode) as file:
            file.write(text)
    with files.open(str(tmp_path / "t"), "r") as file:
        assert file.read() == "ab"
