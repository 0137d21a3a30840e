"""The folder of a server's state, `server.folder`, which belongs to one server at a time."""

from pathlib import Path

from marvel_kedro.core import file_lock
from marvel_kedro.core.errors import ProjectError

METRICS = "metrics"
"""Subfolder of the counters of each process."""

SPOOL = "spool"
"""Subfolder of the requests that are not yet in the inference table."""


def own(folder: Path) -> int:
    """Create the server's folder and lock it until the process ends.

    Returns:
        The descriptor that holds the lock while it is open.

    Raises:
        ProjectError: The folder is not writable, or another server holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = file_lock.acquire(folder / "server.lock")
    except OSError as error:
        raise ProjectError(
            f"{folder}: {error.strerror}. The server keeps requests there that are not yet in the "
            "inference table: set server.folder to a folder that can be written to."
        ) from error
    if lock is None:
        raise ProjectError(
            f"Another server runs in {folder}. Stop it, or set another server.folder."
        )
    return lock
