"""Locks on files: of one process, for as long as it lives or until it lets go."""

import fcntl
import os
from pathlib import Path


def hold(path: Path) -> int | None:
    """Lock a file, which is made if it is not there.

    Returns:
        What holds the lock until it is closed; None if another process has it.

    Raises:
        OSError: The file cannot be made or locked.
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
