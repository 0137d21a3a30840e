"""A lock belongs to one process until it is closed or the process ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.project import clean_environment

from marvel_kedro.core import file_lock

HOLD = """\
import sys
from pathlib import Path
from marvel_kedro.core import file_lock
print(file_lock.acquire(Path(sys.argv[1])) is not None, flush=True)
sys.stdin.read()
"""


def test_lock_is_free_after_its_process_ended(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as other:  # fmt: skip
        assert other.stdout
        assert other.stdout.readline() == "True\n"
        assert file_lock.acquire(path) is None
        before = len(list(Path("/proc/self/fd").iterdir()))
        assert file_lock.acquire(path) is None
        assert len(list(Path("/proc/self/fd").iterdir())) == before
        other.kill()
        other.wait(10)
    lock = file_lock.acquire(path)
    assert lock is not None
    assert file_lock.acquire(path) is None
    os.close(lock)
    again = file_lock.acquire(path)
    assert again is not None
    os.close(again)


def test_lock_in_missing_folder_raises_instead_of_returning_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_lock.acquire(tmp_path / "nowhere" / "lock")
