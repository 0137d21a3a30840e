"""Local files appear whole or not at all.

Every local Kedro dataset writes through fsspec's `file` filesystem. The one registered here writes
beside the target and renames when the file is closed without an error, so that a crash, a full
disk or `kill -9` in the middle of a write leaves the old file as it was.
"""

import glob
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

import fsspec
import psutil
from fsspec.implementations.local import LocalFileSystem

_TEXT_OPTIONS = ("encoding", "errors", "newline")


def partial_of(target: Path) -> Path:
    """Where this process writes `target` until it is whole."""
    return target.with_name(f".{target.name}.{os.getpid()}.partial")


def remove_leftovers(target: Path) -> None:
    """Remove what writers of `target` left behind when they were killed."""
    # SQLite keeps a journal beside a database that it writes: `.partial-journal`.
    for leftover in target.parent.glob(f".{glob.escape(target.name)}.*.partial*"):
        writer = leftover.name.removeprefix(f".{target.name}.").partition(".")[0]
        if writer.isdecimal() and not psutil.pid_exists(int(writer)):
            leftover.unlink(missing_ok=True)


class WholeFile:
    """A file open for writing that takes its name only when closed without an error."""

    def __init__(self, target: Path, mode: str, **text_options: Any) -> None:  # noqa: ANN401
        target = target.resolve()  # of a link, the file that it stands for
        target.parent.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target)
        if "b" not in mode:
            text_options.setdefault("encoding", "utf-8")
        self._target = target
        self._partial = partial_of(target)
        self._stream: IO[Any] = self._partial.open(mode, **text_options)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the stream has
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[Any]:  # pandas takes only iterables for files
        return iter(self._stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error:
            self.discard()
        else:
            self.close()

    def close(self) -> None:
        """Give the file its name; if that fails, nothing of it stays."""
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
        """Drop what was written; the target stays as it was."""
        with suppress(OSError):  # closing flushes, which a full disk refuses again
            self._stream.close()
        self._partial.unlink(missing_ok=True)


class WholeFileSystem(LocalFileSystem):  # type: ignore[misc]
    """fsspec's local filesystem, in which a written file appears whole."""

    def open(self, path: str, mode: str = "rb", *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Open a file; modes other than plain writing are fsspec's own."""
        if mode.strip("bt") != "w" or kwargs.get("compression"):
            return super().open(path, mode, *args, **kwargs)
        text = {key: kwargs[key] for key in _TEXT_OPTIONS if key in kwargs}
        return WholeFile(Path(self._strip_protocol(path)), mode, **text)


def write_files_whole() -> None:
    """Make `WholeFileSystem` what the `file` protocol means in this process."""
    fsspec.register_implementation("file", WholeFileSystem, clobber=True)
    fsspec.register_implementation("local", WholeFileSystem, clobber=True)
