"""Exclusive locks on files, held until they are closed or the process ends."""

import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path


def acquire(path: Path) -> int | None:
    """Lock a file, which is created if it does not exist; raise an OSError if it cannot be.

    Return the file descriptor that holds the lock until it is closed, or None if another process
    has the lock.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    with ExitStack() as stack, suppress(BlockingIOError):
        stack.callback(os.close, lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        stack.pop_all()
        return lock
    return None
