"""Where a server keeps what: folders below `server.folder`, which no other server may have."""

import fcntl
import os
from pathlib import Path

from marvel_kedro.errors import ProjectError

METRICS = "metrics"
"""What each process counts."""

SPOOL = "spool"
"""What is not yet in the inference table."""

_HINT = (
    "The server keeps there what is not yet in the inference table: say a folder that can be "
    "written to, as server.folder."
)


def own(folder: Path) -> int:
    """Make the server's folder, and hold it as long as this process lives.

    Returns:
        What holds it, to be kept open.

    Raises:
        ProjectError: It cannot be written to, or another server has it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ProjectError(f"{folder}: {error.strerror}. {_HINT}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise ProjectError(
            f"Another server runs in {folder}. Stop it, or say another server.folder."
        ) from error
    return lock
