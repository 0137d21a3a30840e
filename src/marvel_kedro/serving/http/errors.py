"""Answers to requests that are refused, as MLflow and Databricks word them."""

from http import HTTPStatus


class Refusal(Exception):  # noqa: N818 - an answer, not an error of this program
    """A request is refused.

    Attributes:
        status: The status of HTTP.
        code: `error_code` of the answer.
        message: What is wrong with the request and what to do.
        headers: Headers of the answer.
        unquoted: If the message quotes values of a field, that field's name and the message
            without them, for where they are not written down.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        unquoted: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers
        self.unquoted = unquoted


def bad_request(message: str) -> Refusal:
    """The body is not what the contract asks for."""
    return Refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", message)


def invalid_value(message: str, unquoted: tuple[str, str] | None = None) -> Refusal:
    """The body is, but a value in it is not."""
    return Refusal(HTTPStatus.BAD_REQUEST, "INVALID_PARAMETER_VALUE", message, unquoted=unquoted)


def own_fault(request_id: str) -> Refusal:
    """Nobody but the server is to blame; the answer says where more is said."""
    return Refusal(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "INTERNAL_ERROR",
        f"The server is at fault; its log says more of the request {request_id}.",
    )
