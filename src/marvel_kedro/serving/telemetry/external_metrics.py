"""Metrics that monitoring has written to a file, for the page of the server's own."""

import logging
import re
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_MOST_BYTES = 1024**2  # some five thousand samples

_NAME = rb"marvel_monitoring_\w+"
_LABEL = rb'[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"'
_VALUE = rb"(?:NaN|[-+]?(?:Inf|\d+(?:\.\d+)?(?:e[-+]?\d+)?))"
_LINE = re.compile(
    rb"# (?:HELP|TYPE) %b [^\n]+|%b(?:\{%b(?:,%b)*\})? %b" % (_NAME, _NAME, _LABEL, _LABEL, _VALUE)
)


class MetricsText:
    """The text of a file as long as it is the same file; whoever writes it replaces it.

    A line that Prometheus cannot read, or that has a name of the server's own, would cost it the
    whole page: then the file is left out, and the log says so.
    """

    def __init__(self, path: Path | None) -> None:
        """Args: the file; None is none."""
        self._path = path
        self._stamp: Any = None
        self._text = b""

    def read(self) -> bytes:
        """The text; empty if there is no file, or it is not sound."""
        if self._path is None:
            return b""
        try:
            found = self._path.stat()
            stamp = found.st_ino, found.st_mtime_ns, found.st_size
            if stamp != self._stamp:
                self._text = self._sound(found.st_size)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._text = None, b""
        except OSError as error:
            if self._stamp != str(error):
                logger.warning("%s is left out of /metrics: %s", self._path, error.strerror)
            self._stamp, self._text = str(error), b""
        return self._text

    def _sound(self, size: int) -> bytes:
        assert self._path is not None
        text = self._path.read_bytes() if size <= _MOST_BYTES else b""
        fault = f"it has {size:,} bytes" if size > _MOST_BYTES else _fault(text)
        if fault is None:
            return text
        logger.warning(
            "%s is left out of /metrics: %s. kedro run --pipelines exporting makes it anew.",
            self._path,
            fault,
        )
        return b""


def _fault(text: bytes) -> str | None:
    if text and not text.endswith(b"\n"):
        return "its last line has no end"
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        if _LINE.fullmatch(line) is None:
            return f"line {number} is not one of monitoring's in Prometheus' text format"
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return "it is not UTF-8"
    return None
