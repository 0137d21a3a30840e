"""Folders that a test run makes once, whatever the number of pytest-xdist's workers."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def make_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Make a folder, or wait until another worker has made it.

    Args:
        factory: The session's factory of temporary folders.
        name: The folder's name.
        make: Fills the folder, which does not exist yet. Paths within it stay valid.

    Returns:
        The folder. Tests only read it; those that write copy it first.
    """
    root = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # the folder of the run; each worker's own is below it
    folder, done = root / name, root / f"{name}.done"
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
            make(folder)
            done.touch()
    return folder
