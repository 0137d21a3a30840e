"""A model that this project has not made: it takes bodies, and MLflow's own code answers them.

So every type of a signature, and every result, is treated as by `mlflow models serve`.
"""

import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

from marvel_kedro.model.isolation import load_isolated
from marvel_kedro.serving.http.content import JSON
from marvel_kedro.serving.http.errors import RequestError, bad_request

_REDACTED = "MLflow or the model rejected the request."

Invoke = Callable[[bytes, str], tuple[bytes, list[tuple[Any, Any]]]]
"""A function from a body and its media type to the answer: its body, and pairs by record."""


def load(folder: Path, example: str | None) -> Invoke:
    """Load a model with its own code, and invoke it with its example if it has one.

    Args:
        folder: The files of the MLflow model.
        example: The file of a body that was saved with the model.

    Returns:
        A function that raises a RequestError for a rejected body. If the model's own code failed,
        its error is the cause.
    """
    import mlflow  # noqa: PLC0415 - only for models of other origin
    from mlflow.pyfunc import scoring_server  # noqa: PLC0415

    model = load_isolated(folder)
    schema = model.metadata.get_input_schema()
    answer: Any = scoring_server.invocations

    def invoke(body: bytes, media_type: str) -> tuple[bytes, list[tuple[Any, Any]]]:
        try:
            answered = answer(body, media_type, model, schema)
        except mlflow.MlflowException as error:
            rejected, cause = _rejected(error)
            raise rejected from cause
        except ValueError as error:  # a whole number that Python does not read
            message = f"The body cannot be read: {error}"
            rejected = bad_request(message, redacted=(None, _REDACTED))
            raise rejected from None
        # JSON has neither NaN nor infinity, which MLflow writes.
        content = json.loads(answered.response, parse_constant=lambda _: None)
        return json.dumps(content).encode(), _pairs(content)

    if example is not None:
        _try(invoke, folder / example)
    return invoke


def _pairs(content: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401 - any JSON
    """Return prediction and probability by record; a prediction may be a label, a row, anything."""
    found = content.get("predictions") if isinstance(content, dict) else content
    rows = found if isinstance(found, list) else [found]
    named = [row if isinstance(row, dict) else {"prediction": row} for row in rows]
    return [(row.get("prediction"), row.get("probability")) for row in named]


def _try(invoke: Invoke, example: Path) -> None:
    """Invoke a model with its example, which fails if its code is broken."""
    try:
        invoke(example.read_bytes(), JSON)
    except RequestError as error:
        if error.__cause__:  # else MLflow does not read the example
            raise error.__cause__ from None


_FAILED = "Encountered an unexpected error while evaluating the model"
_QUOTING = (
    ("Failed to predict data", "\nError: "),
    ("Failed to enforce schema of data", "'. Error: "),
)
"""Beginnings of MLflow's messages that quote all the data, and what follows the data."""


def _rejected(error: Any) -> tuple[RequestError, BaseException | None]:  # noqa: ANN401 - an untyped MlflowException
    """Build MLflow's answer, with a message that begins with the cause, and the model's error."""
    message: str = error.message
    for beginning, end in _QUOTING:
        if message.startswith(beginning):
            message = message.rpartition(end)[2]
    cause = error.__context__ if message.startswith(_FAILED) else None
    if cause:
        message = f"The model failed ({type(cause).__name__}: {cause})"
    status = HTTPStatus(error.get_http_status_code())
    return RequestError(status, error.error_code, message, redacted=(None, _REDACTED)), cause
