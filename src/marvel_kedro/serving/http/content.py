"""Headers that say what a body is: `Content-Type` and `Content-Encoding`."""

import gzip
import zlib
from collections.abc import Callable
from http import HTTPStatus
from io import BytesIO
from typing import NamedTuple

from marvel_kedro.serving.http.errors import RequestError, bad_request, too_large

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"

# ASCII is a part of UTF-8. `header` is the parameter of RFC 4180.
_PARAMETERS = {"charset": ("utf-8", "utf8", "us-ascii"), "header": ("present",)}
_ACCEPTED = f"Send the header Content-Type: {JSON}, {CSV} or {PARQUET}, with text in UTF-8"
# `utf-8` is no coding, but some clients send it.
_CODINGS = dict.fromkeys(("", "identity", "utf-8"), "") | {
    "gzip": "gzip", "x-gzip": "gzip", "deflate": "deflate"
}  # fmt: skip


class Content(NamedTuple):
    """Media type and coding of a body; the coding is empty if it is not compressed."""

    media_type: str
    coding: str


PLAIN_JSON = Content(JSON, "")


def parse_headers(content_type: bytes | None, content_encoding: bytes | None) -> Content:
    """Parse both headers.

    Raises:
        RequestError: 415; the message names the header, and what it may be.
    """
    if content_type == b"application/json" and content_encoding is None:  # nearly always
        return PLAIN_JSON
    return Content(_media_type(content_type), _coding(content_encoding))


def _media_type(header: bytes | None) -> str:
    text = (header or b"").decode("latin-1")
    media_type, *rest = (part.strip() for part in text.lower().split(";"))
    if media_type not in (JSON, CSV, PARQUET):
        raise _unsupported(f"{_ACCEPTED}; got {text[:100] or 'none'}.")
    for parameter in filter(None, rest):
        name, _, value = parameter.partition("=")
        if value.strip("\"'") not in _PARAMETERS.get(name, ()):
            raise _unsupported(f"{_ACCEPTED}; got the parameter {parameter[:100]}.")
    return media_type


def _coding(header: bytes | None) -> str:
    text = (header or b"").decode("latin-1")
    coding = _CODINGS.get(text.strip().lower())
    if coding is None:
        raise _unsupported(
            f"The header Content-Encoding may be gzip or deflate; got {text[:100]}.",
            ((b"accept-encoding", b"gzip, deflate"),),
        )
    return coding


def _unsupported(message: str, headers: tuple[tuple[bytes, bytes], ...] = ()) -> RequestError:
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    return RequestError(status, "UNSUPPORTED_MEDIA_TYPE", message, headers)


def decompress(body: bytes, coding: str, limit: int) -> bytes:
    """Decompress a body.

    Args:
        body: The compressed bytes.
        coding: `gzip` or `deflate`.
        limit: Bytes that it may have decompressed; no more are held.

    Raises:
        RequestError: 413, or 400 for a body of another coding or one that is cut.
    """
    try:
        found = _DECOMPRESSORS[coding](body, limit + 1)
    except (zlib.error, OSError, EOFError) as error:
        message = f"The header Content-Encoding is {coding}, but the body is not: {error}"
        raise bad_request(message) from None
    if len(found) > limit:
        raise too_large(limit, "decompressed")
    return found


def as_sent(body: bytes) -> bytes:
    """Return text; raise a RequestError if it is compressed and the headers do not say so."""
    if body.startswith(b"\x1f\x8b"):
        raise bad_request("The body is compressed: send the header Content-Encoding: gzip.")
    return body


def _gunzip(body: bytes, size: int) -> bytes:
    if not body:
        raise EOFError("it is empty")
    return gzip.GzipFile(fileobj=BytesIO(body)).read(size)


def _inflate(body: bytes, size: int) -> bytes:
    # With the header of zlib, as RFC 9110 has it, or without, as some clients send it.
    start = int.from_bytes(body[:2], "big")
    has_header = start >> 8 & 15 == zlib.DEFLATED and start % 31 == 0
    stream = zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)
    found = stream.decompress(body, size)
    if len(found) < size and not stream.eof:
        raise EOFError("it ends too early")
    return found


_DECOMPRESSORS: dict[str, Callable[[bytes, int], bytes]] = {"gzip": _gunzip, "deflate": _inflate}
