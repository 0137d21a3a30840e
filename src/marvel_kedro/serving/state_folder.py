"""Where a server keeps what: folders below `server.folder`, which no other server may have."""

from pathlib import Path

from marvel_kedro.core import file_lock
from marvel_kedro.core.errors import ProjectError

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
        lock = file_lock.acquire(folder / "server.lock")
    except OSError as error:
        raise ProjectError(f"{folder}: {error.strerror}. {_HINT}") from error
    if lock is None:
        raise ProjectError(
            f"Another server runs in {folder}. Stop it, or say another server.folder."
        )
    return lock
