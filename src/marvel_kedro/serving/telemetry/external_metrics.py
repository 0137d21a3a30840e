"""Metrics that monitoring writes to a file, for the server's page of metrics."""

import logging
import re
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

_MAX_BYTES = 1024**2  # some five thousand samples

# prometheus_client's parser is no substitute: it takes 20 times as long, during which the worker
# answers no request, and accepts what Prometheus or the page refuses (escapes, times, other names).
_NAME = rb"marvel_monitoring_\w+"
_LABEL = rb'[a-zA-Z_]\w*="(?:[^"\\\n]|\\[\\"n])*"'
_VALUE = rb"(?:NaN|[-+]?(?:Inf|\d+(?:\.\d+)?(?:e[-+]?\d+)?))"
_LINE = re.compile(
    rb"# (?:HELP|TYPE) %b [^\n]+|%b(?:\{%b(?:,%b)*\})? %b" % (_NAME, _NAME, _LABEL, _LABEL, _VALUE)
)


class ExternalMetrics:
    """The text of a file, read again when the file is replaced; empty if the path is None.

    A line that Prometheus cannot parse, or with the name of one of the server's metrics, would make
    the whole page invalid. A file with such a line is left out, with a warning.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._stamp: Any = None
        self._text = b""

    def read(self) -> bytes:
        """Return the text; empty if there is no file or it is invalid."""
        if self._path is None:
            return b""
        try:
            status = self._path.stat()
            stamp = status.st_ino, status.st_mtime_ns, status.st_size
            if stamp != self._stamp:
                self._text = self._read_valid(self._path, status.st_size)
                self._stamp = stamp
        except FileNotFoundError:
            self._stamp, self._text = None, b""
        except OSError as error:
            if self._stamp != str(error):
                logger.warning("%s is left out of /metrics: %s", self._path, error.strerror)
            self._stamp, self._text = str(error), b""
        return self._text

    def _read_valid(self, path: Path, size: int) -> bytes:
        text = path.read_bytes() if size <= _MAX_BYTES else b""
        problem = f"it has {size:,} bytes" if size > _MAX_BYTES else _problem(text)
        if problem is None:
            return text
        remedy = "kedro run --pipelines exporting writes it again."
        logger.warning("%s is left out of /metrics: %s. %s", path, problem, remedy)
        return b""


def _problem(text: bytes) -> str | None:
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
