"""The files that processes count in, with their place on the disk taken beforehand.

`prometheus_client` maps files with holes into memory. Where a disk is full, a count that falls into
a hole ends its process by SIGBUS. So there is a set of files without holes for each worker and one
to spare; the set of a worker that died is the next one to spare, its counts included.

Nothing here imports `prometheus_client`, which opens files as soon as something counts.
"""

import os
from contextlib import suppress
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable that `prometheus_client` reads."""

_LIVE = ("gauge_livesum", "gauge_livemax")  # say nothing once their process has ended
_KINDS = ("counter", "histogram", "gauge_mostrecent", *_LIVE)
_BYTES = 256 * 1024  # some seventy versions of a model
_SPARE = "spare"


def prepare(folder: Path, spares: int) -> None:
    """Make sets for this process and others, and let all count in this folder.

    Raises:
        OSError: There is no room.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    for owner in (str(os.getpid()), *(f"{_SPARE}{number}" for number in range(spares))):
        _make(folder, owner)
    os.environ[FOLDER] = str(folder)


def take() -> None:
    """Take a set for this process; one is made if none is to spare.

    Raises:
        OSError: There is no room for one.
    """
    folder, own = Path(os.environ[FOLDER]), str(os.getpid())
    first, *others = _KINDS
    for path in sorted(folder.glob(f"{first}_{_SPARE}*.db")):
        with suppress(FileNotFoundError):  # another worker was faster
            path.rename(_file(folder, first, own))
            for kind in others:
                _file(folder, kind, _owner(path)).rename(_file(folder, kind, own))
            return
    _make(folder, own)


def give_back(pid: int) -> None:
    """Have the set of a process that has ended to spare; what it has counted stays."""
    folder = Path(os.environ[FOLDER])
    first, *others = _KINDS
    with suppress(FileNotFoundError):
        for kind in _LIVE:
            with _file(folder, kind, str(pid)).open("r+b") as stream:
                stream.write(bytes(_BYTES))
        for kind in (*others, first):  # the first one says that all are there
            _file(folder, kind, str(pid)).rename(_file(folder, kind, f"{_SPARE}{pid}"))


def _make(folder: Path, owner: str) -> None:
    for kind in _KINDS:
        path = _file(folder, kind, owner)
        try:
            path.write_bytes(bytes(_BYTES))
        except OSError:
            path.unlink(missing_ok=True)  # an empty one would be filled with a hole
            raise


def _file(folder: Path, kind: str, owner: str) -> Path:
    return folder / f"{kind}_{owner}.db"


def _owner(path: Path) -> str:
    return path.stem.rpartition("_")[2]
