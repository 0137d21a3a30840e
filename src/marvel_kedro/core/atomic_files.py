"""Atomic writes: a local file is complete or unchanged.

Every local Kedro dataset writes through fsspec's `file` filesystem. The one registered here writes
to a file beside the target and renames it when it is closed without an error. A crash, a full disk
or `kill -9` during a write leaves the old file unchanged.
"""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import IO, Any

import fsspec
import psutil
from fsspec.implementations.local import LocalFileSystem


def partial_path(target: Path) -> Path:
    """Return the path that this process writes to until `target` is complete."""
    return target.with_name(f".{target.name}.{os.getpid()}.partial")


def remove_partial_files(target: Path) -> None:
    """Remove the partial files of killed writers of `target`."""
    # SQLite has a journal beside a database that it writes: `.partial-journal`.
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.partial*"):
        writer = leftover.name.removeprefix(f".{target.name}.").partition(".")[0]
        if writer.isdecimal() and not psutil.pid_exists(int(writer)):
            leftover.unlink(missing_ok=True)


class AtomicFile(AbstractContextManager["AtomicFile"]):
    """A file open for writing that replaces its target when it is closed without an error."""

    def __init__(self, target: Path, mode: str, **text_options: Any) -> None:  # noqa: ANN401
        target = target.resolve()  # a link is kept, its target replaced
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_partial_files(target)
        if "b" not in mode:
            text_options.setdefault("encoding", "utf-8")
        self._target = target
        self._partial = partial_path(target)
        self._stream: IO[Any] = self._partial.open(mode, **text_options)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the stream
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:  # pandas accepts only iterable files
        return iter(self._stream)

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error:
            self.discard()
        else:
            self.close()

    def close(self) -> None:
        """Replace the target; on failure remove the partial file."""
        if self._stream.closed:
            return
        try:
            self._stream.close()
            if self._target.exists():
                shutil.copymode(self._target, self._partial)
            self._partial.replace(self._target)
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        """Remove the partial file; the target is unchanged."""
        with suppress(OSError):  # closing flushes, which fails again on a full disk
            self._stream.close()
        self._partial.unlink(missing_ok=True)


class AtomicFileSystem(LocalFileSystem):  # type: ignore[misc]
    """fsspec's local filesystem with atomic writes."""

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Open a file; fsspec handles all modes but plain writing."""
        if mode.strip("bt") != "w" or kwargs.get("compression"):
            return super().open(path, mode, *args, **kwargs)
        text = {key: kwargs[key] for key in ("encoding", "errors", "newline") if key in kwargs}
        return AtomicFile(Path(self._strip_protocol(path)), mode, **text)


def write_files_atomically() -> None:
    """Register `AtomicFileSystem` for the protocols `file` and `local` in this process."""
    fsspec.register_implementation("file", AtomicFileSystem, clobber=True)
    fsspec.register_implementation("local", AtomicFileSystem, clobber=True)
