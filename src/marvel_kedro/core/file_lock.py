"""Exclusive locks on files, held until they are closed or the process ends."""

import fcntl
import os
from pathlib import Path


def acquire(path: Path) -> int | None:
    """Lock a file, which is created if it does not exist.

    Return the file descriptor that holds the lock until it is closed, or None if another process
    has the lock.

    Raises:
        OSError: The file cannot be created or locked.
    """
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock
