"""Standard output and error whose writes never block.

A full pipe that is not read, or a disk that hangs, would stop the event loop at its next log line,
and with it all answers. Here a thread of each stream writes, and a full buffer drops lines.
"""

import atexit
import io
import select
import sys
import time
from contextlib import suppress
from os import write
from select import PIPE_BUF
from threading import Condition, Thread
from typing import Any

_MAX_BYTES = 1024**2  # that wait to be written
_DRAIN_SECONDS = 2.0


class LogStream(io.RawIOBase):
    """A stream for a file descriptor; what does not fit into its buffer is dropped."""

    def __init__(self, descriptor: int) -> None:
        self._dropped = 0
        self._descriptor = descriptor
        self._waiting: list[bytes] = []
        self._size = 0  # with the bytes that the thread has taken
        self._changed = Condition()
        self._is_read = True
        Thread(target=self._write_waiting, name=f"log-{descriptor}", daemon=True).start()

    def writable(self) -> bool:
        """Return true."""
        return True

    def write(self, lines: Any) -> int:  # noqa: ANN401 - any buffer
        """Add lines to the buffer; drop them if it is full."""
        taken = bytes(lines)
        with self._changed:
            if self._size + len(taken) > _MAX_BYTES:
                self._dropped += taken.count(b"\n")
            else:
                self._waiting.append(taken)
                self._size += len(taken)
                self._changed.notify_all()
        return len(taken)

    def take_dropped(self) -> int:
        """Return the number of lines that were dropped since the last call."""
        with self._changed:
            taken, self._dropped = self._dropped, 0
        return taken

    def drain(self, seconds: float) -> None:
        """Wait until all is written, but not longer, and not again without a reader."""
        with self._changed:
            if self._is_read:
                self._is_read = self._changed.wait_for(lambda: not self._size, seconds)

    def _write_waiting(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                taken, self._waiting = b"".join(self._waiting), []
            lost = self._write_all(taken)
            with self._changed:
                self._size -= len(taken)
                self._dropped += lost
                self._changed.notify_all()

    def _write_all(self, lines: bytes) -> int:
        """Write, and return the number of lost lines: all after an error."""
        while lines:
            # A pipe keeps pieces of this size whole: lines of workers that share it do not mix.
            end = lines.rfind(b"\n", 0, PIPE_BUF) + 1 or lines.find(b"\n") + 1 or len(lines)
            try:
                lines = lines[write(self._descriptor, lines[:end]) :]
            except BlockingIOError:  # another process has made the pipe non-blocking
                select.select([], [self._descriptor], [])
            except OSError:
                return lines.count(b"\n")
        return 0


_streams: list[LogStream] = []


def install() -> LogStream:
    """Replace `sys.stdout` and `sys.stderr` of this process; return the stream of the first."""
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        stream = LogStream(descriptor)
        buffered = io.BufferedWriter(stream)
        text = io.TextIOWrapper(buffered, "utf-8", "backslashreplace", line_buffering=True)
        setattr(sys, name, text)
        _streams.append(stream)
    atexit.register(drain)
    return _streams[0]


def drain() -> None:
    """Wait for the last lines, two seconds at most; call it before the process ends."""
    end = time.monotonic() + _DRAIN_SECONDS
    for text in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            text.flush()
    for stream in _streams:
        stream.drain(max(0.0, end - time.monotonic()))


def take_dropped() -> int:
    """Return the number of lines that this process has dropped since the last call."""
    return sum(stream.take_dropped() for stream in _streams)
