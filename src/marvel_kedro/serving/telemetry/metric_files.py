"""Preallocated files in which the processes of a server count.

`prometheus_client` maps sparse files into memory: on a full disk, a count in a hole of the file
kills the process by SIGBUS. So each worker has a set of files without holes, and there is a spare
set. The set of a worker that died becomes a spare one, counts included.

This module does not import `prometheus_client`, which opens files at the first count.
"""

import os
from contextlib import suppress
from pathlib import Path

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the variable that `prometheus_client` reads
_LIVE = ("gauge_livesum", "gauge_livemax")  # valid only while their process lives
_KINDS = ("counter", "histogram", "gauge_mostrecent", *_LIVE)
_BYTES = 256 * 1024  # some seventy versions of a model
_SPARE = "spare"
_ALL_READY = "all-ready"  # a file that exists once all workers have had a model


def prepare(folder: Path, spares: int) -> None:
    """Create a set for this process and spare ones, and name their folder in `FOLDER`.

    Raises:
        OSError: The disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.db"):
        old.unlink()
    (folder / _ALL_READY).unlink(missing_ok=True)
    for owner in (str(os.getpid()), *(f"{_SPARE}{number}" for number in range(spares))):
        _create(folder, owner)
    os.environ[FOLDER] = str(folder)


def claim() -> None:
    """Claim a spare set for this process, or create one; OSError if the disk is full."""
    folder, pid = Path(os.environ[FOLDER]), str(os.getpid())
    first, *others = _KINDS
    for path in sorted(folder.glob(f"{first}_{_SPARE}*.db")):
        with suppress(FileNotFoundError):  # another worker was faster
            path.rename(_file(folder, first, pid))
            owner = path.stem.rpartition("_")[2]
            for kind in others:
                _file(folder, kind, owner).rename(_file(folder, kind, pid))
            return
    _create(folder, pid)


def release(pid: int) -> None:
    """Make the set of a process that has ended a spare one; its counters keep their values."""
    folder = Path(os.environ[FOLDER])
    first, *others = _KINDS
    with suppress(FileNotFoundError):
        for kind in _LIVE:
            with _file(folder, kind, str(pid)).open("r+b") as stream:
                stream.write(bytes(_BYTES))
        for kind in (*others, first):  # the first kind shows that the set is complete
            _file(folder, kind, str(pid)).rename(_file(folder, kind, f"{_SPARE}{pid}"))


def were_all_ready(*, now: bool) -> bool:
    """Return whether all workers have had a model since the start; `now` says that they have one.

    Workers that replace others would not know.
    """
    note = Path(os.environ[FOLDER], _ALL_READY)
    with suppress(OSError):  # a full disk
        if now:
            note.touch()
    return now or note.exists()


def _create(folder: Path, owner: str) -> None:
    for kind in _KINDS:
        path = _file(folder, kind, owner)
        try:
            path.write_bytes(bytes(_BYTES))
        except OSError:
            path.unlink(missing_ok=True)  # prometheus_client would extend it by a hole
            raise


def _file(folder: Path, kind: str, owner: str) -> Path:
    return folder / f"{kind}_{owner}.db"
