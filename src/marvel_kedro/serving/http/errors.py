"""Error answers in the format of MLflow and Databricks."""

from dataclasses import dataclass
from http import HTTPStatus

import orjson

_MAX_MESSAGE_CHARACTERS = 2000  # a message may quote what the client sent


@dataclass(eq=False)
class RequestError(Exception):
    """A rejected request.

    Attributes:
        code: `error_code` of the answer.
        message: The cause and its remedy.
        headers: Additional headers of the answer.
        redacted: For a message that quotes values of a field: the name of the field, None if it
            may quote any, and the message without the values for the inference table.
    """

    status: int
    code: str
    message: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    redacted: tuple[str | None, str] | None = None

    def __str__(self) -> str:
        return self.message

    @property
    def body(self) -> bytes:
        """The body of the answer."""
        return _body(self.code, self.message)

    def redacted_body(self, fields: frozenset[str]) -> bytes | None:
        """Return the body without values of redacted fields; None if the body has none."""
        if self.redacted is None or not fields:
            return None
        name, message = self.redacted
        return _body(self.code, message) if name is None or name in fields else None


def _body(code: str, message: str) -> bytes:
    # Text from JSON may hold lone surrogates, which UTF-8 cannot encode.
    encodable = message[:_MAX_MESSAGE_CHARACTERS].encode("utf-8", "replace").decode()
    return orjson.dumps({"error_code": code, "message": encodable})


def bad_request(message: str, redacted: tuple[str | None, str] | None = None) -> RequestError:
    """Build the 400 for a body that violates the contract."""
    return RequestError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", message, redacted=redacted)


def invalid_value(message: str, redacted: tuple[str, str] | None = None) -> RequestError:
    """Build the 400 for a body with an invalid value."""
    code = "INVALID_PARAMETER_VALUE"
    return RequestError(HTTPStatus.BAD_REQUEST, code, message, redacted=redacted)


def too_large(limit: int, state: str = "") -> RequestError:
    """Build the 413 for a body of more bytes than `limit`, as it came or in a state."""
    return RequestError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "MAX_REQUEST_SIZE_EXCEEDED",
        f"The body has more than {limit:,} bytes{state and f' {state}'}. "
        "Send fewer records at once.",
    )


def internal_error(request_id: str) -> RequestError:
    """Build the 500 for an error of the server; its message refers to the log."""
    return RequestError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        f"Internal server error. The server's log has the cause under request_id {request_id}.",
    )


def deadline_exceeded(seconds: float, *, arrived: bool) -> RequestError:
    """Build the 504 for a request, `arrived` or not yet, that takes longer than its limit."""
    cause = "The request took longer than {} seconds. Send fewer records at once."
    if not arrived:
        cause = "The body did not arrive in full within {} seconds. Send all of its bytes sooner."
    return RequestError(
        HTTPStatus.GATEWAY_TIMEOUT,
        "DEADLINE_EXCEEDED",
        cause.format(f"{seconds:g}"),
    )


def server_stops() -> RequestError:
    """Build the 503 for a request that still runs when the server has to end."""
    return RequestError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "TEMPORARILY_UNAVAILABLE",
        "The server stops, and the request did not end in time. Send it again.",
        ((b"retry-after", b"1"),),
    )
