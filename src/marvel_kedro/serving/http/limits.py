"""Limits of a request's body: content type and size."""

from collections.abc import Callable
from http import HTTPStatus

from starlette.types import Receive

from marvel_kedro.serving.http.errors import RequestError

SMALL_BODY_BYTES = 64 * 1024
"""Bodies up to this size are not reserved: as many as the request limit admits fit into memory."""


class ClientDisconnectedError(Exception):
    """The client disconnected before the end of its request."""


def check_content_type(value: bytes | None) -> None:
    """Accept JSON in UTF-8 only.

    Raises:
        RequestError: 415.
    """
    if value == b"application/json":  # nearly always
        return
    media_type, *rest = (value or b"").decode("latin-1").lower().split(";")
    parameters = dict(parameter.strip().partition("=")[::2] for parameter in rest)
    charset = parameters.pop("charset", "utf-8").strip("\"'")
    if media_type.strip() != "application/json" or charset not in ("utf-8", "utf8") or parameters:
        raise RequestError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            "UNSUPPORTED_MEDIA_TYPE",
            "Send JSON in UTF-8, with the header Content-Type: application/json.",
        )


async def read_body(
    receive: Receive, content_length: bytes | None, max_bytes: int, reserve: Callable[[int], None]
) -> bytes:
    """Read a body.

    Args:
        receive: ASGI's channel.
        content_length: The header of that name.
        max_bytes: Limit of the size.
        reserve: Called with the bytes of a large body as soon as they are known, for a body in
            chunks with the bytes so far; it may raise.

    Raises:
        RequestError: 413, as soon as the size is known; or what `reserve` raises.
        ClientDisconnectedError: The body is incomplete.
    """
    length = int(content_length[:20]) if content_length and content_length.isdigit() else 0
    if length > SMALL_BODY_BYTES or length > max_bytes:
        _reserve(length, max_bytes, reserve)
    parts: list[bytes] = []
    length = 0
    while (message := await receive())["type"] != "http.disconnect":
        part: bytes = message.get("body", b"")
        length += len(part)
        if length > SMALL_BODY_BYTES or length > max_bytes:
            _reserve(length, max_bytes, reserve)
        if not message.get("more_body"):
            return b"".join([*parts, part]) if parts else part
        parts.append(part)
    raise ClientDisconnectedError


def _reserve(length: int, max_bytes: int, reserve: Callable[[int], None]) -> None:
    if length > max_bytes:
        raise RequestError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "MAX_REQUEST_SIZE_EXCEEDED",
            f"The body has more than {max_bytes:,} bytes. Send fewer records at once.",
        )
    reserve(length)
