"""Answers to requests that are refused, as MLflow and Databricks word them."""

from http import HTTPStatus


class Refusal(Exception):  # noqa: N818 - an answer, not an error of this program
    """A request is refused.

    Attributes:
        status: The status of HTTP.
        code: `error_code` of the answer.
        message: What is wrong with the request and what to do.
        headers: Headers of the answer.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


def bad_request(message: str) -> Refusal:
    """The body is not what the contract asks for."""
    return Refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", message)


def invalid_value(message: str) -> Refusal:
    """The body is, but a value in it is not."""
    return Refusal(HTTPStatus.BAD_REQUEST, "INVALID_PARAMETER_VALUE", message)
