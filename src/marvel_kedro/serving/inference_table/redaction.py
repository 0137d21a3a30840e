"""Redaction of named fields in the body of a request."""

import json
from typing import Any

import orjson

REDACTED = "***"

_ROW_FORMS = ("dataframe_records", "instances", "inputs")


def redact(body: bytes, fields: frozenset[str]) -> bytes:
    """Replace the values of named fields, wherever in a body they are.

    Values without names are replaced as a whole: a body that is no JSON object, unnamed columns.
    """
    try:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:  # NaN, which becomes null
            value = json.loads(body)
        return orjson.dumps(_redact(value, fields) if isinstance(value, dict) else REDACTED)
    except (ValueError, TypeError, RecursionError):  # orjson raises the first two
        return orjson.dumps(REDACTED)


def _redact(value: Any, fields: frozenset[str]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return [_redact(item, fields) for item in value]
    if not isinstance(value, dict):
        return value
    result = {}
    for name, item in value.items():
        if name in fields:
            result[name] = [REDACTED] * len(item) if isinstance(item, list) else REDACTED
        elif name in _ROW_FORMS and not isinstance(item, dict):
            result[name] = _redact_rows(item, [], fields)
        elif name == "data":
            result[name] = _redact_rows(item, value.get("columns"), fields)
        else:
            result[name] = _redact(item, fields)
    return result


def _redact_rows(rows: Any, columns: Any, fields: frozenset[str]) -> Any:  # noqa: ANN401
    """Redact rows that are objects, or lists in the order of the columns; replace any others."""
    if not isinstance(rows, list):
        return REDACTED
    names = columns if isinstance(columns, list) else []

    def redact_row(row: Any) -> Any:  # noqa: ANN401
        if isinstance(row, dict):
            return _redact(row, fields)
        if not isinstance(row, list) or len(row) != len(names):
            return REDACTED
        return [
            REDACTED if isinstance(name, str) and name in fields else _redact(item, fields)
            for name, item in zip(names, row, strict=True)
        ]

    return [redact_row(row) for row in rows]
