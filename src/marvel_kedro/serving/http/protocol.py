"""Request and response bodies: the contract that MLflow and Databricks share.

Source: MLflow's scoring server and Databricks' "Query serving endpoints for custom models".

docs/serving.md lists the differences from MLflow's scoring server; a test compares the list with
what both servers answer.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson

from marvel_kedro.serving.http.errors import RequestError, bad_request, invalid_value

_MAX_DIGITS = 300

MAX_ID_CHARACTERS = 256
"""Limit of a `client_request_id`, which the log and the inference table hold unchanged."""

Record = dict[str, Any]

Kind = Literal["string", "double"]


def read(body: bytes) -> tuple[list[Record], str | None]:
    """Parse the body of an invocation into records and `client_request_id`.

    Raises:
        RequestError: 400; the message names the invalid part.
    """
    fields = _parse_json(body)
    forms = [form for form in FORMS if form in fields]
    if len(forms) != 1:
        got = " and ".join(forms) or ", ".join(list(fields)[:10]) or "nothing"
        raise bad_request(f"Send exactly one of {', '.join(FORMS)}; got {got}.")
    params = fields.get("params")
    if params is not None and not isinstance(params, dict):
        raise bad_request("params must be an object.")
    request_id = _client_request_id(fields)
    form = forms[0]
    return _READERS[form](form, fields[form]), request_id


def outline(body: bytes) -> tuple[int, str | None]:
    """Return the number of records of a body that MLflow reads, and `client_request_id`.

    Raises:
        RequestError: 400; the message names the invalid part.
    """
    fields = _parse_json(body)
    value = next((fields[form] for form in FORMS if form in fields), None)
    if isinstance(value, dict):
        columns = [value.get("data")] if "data" in value else value.values()
        return max(map(_length, columns), default=0), _client_request_id(fields)
    return _length(value), _client_request_id(fields)


def _length(value: Any) -> int:  # noqa: ANN401 - any JSON
    return len(value) if isinstance(value, list) else 1


def _client_request_id(fields: dict[str, Any]) -> str | None:
    request_id = fields.get("client_request_id")
    if request_id is not None and not isinstance(request_id, str):
        raise bad_request("client_request_id must be text.")
    if request_id is not None and len(request_id) > MAX_ID_CHARACTERS:
        raise bad_request(f"client_request_id has more than {MAX_ID_CHARACTERS} characters.")
    return request_id


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:  # the NaN that Python's own json writes, and whole numbers of any length
            fields = json.loads(body, parse_int=_whole_number)
        except (ValueError, RecursionError) as error:
            cause = str(error) or type(error).__name__
            raise bad_request(f"The body is not JSON: {cause}") from None
    if not isinstance(fields, dict):
        raise bad_request(
            f"The body must be an object with one of {', '.join(FORMS)}; got {_type_name(fields)}."
        )
    return fields


def as_utf8(body: bytes) -> bytes:
    """Return JSON without a byte-order mark, for readers of logs; `read` accepts UTF-16 as well."""
    encoding = json.detect_encoding(body)
    if encoding == "utf-8":
        return body
    try:
        return body.decode(encoding, "surrogatepass").encode(errors="replace")
    except UnicodeDecodeError:  # then it is no JSON either
        return body


def _whole_number(digits: str) -> float:
    """Convert digits; a number beyond a float's range is infinite, as arithmetic needs floats."""
    return int(digits) if len(digits) <= _MAX_DIGITS else float(digits)


def _records(form: str, value: Any) -> list[Record]:  # noqa: ANN401 - any JSON
    if not isinstance(value, list):
        raise bad_request(f"{form} must be a list of records; got {_type_name(value)}.")
    for row, record in enumerate(value):
        if type(record) is not dict:
            raise bad_request(
                f"{form}: record {row} must be an object of fields by name; "
                f"got {_type_name(record)}."
            )
    return value


def _split(form: str, value: Any) -> list[Record]:  # noqa: ANN401 - any JSON
    if not isinstance(value, dict) or not value.keys() >= {"columns", "data"}:
        raise bad_request(f"{form} must be an object with columns and data.")
    if unknown := sorted(value.keys() - {"columns", "data", "index"}):
        raise bad_request(f"{form} has columns, data and index, not {', '.join(unknown[:10])}.")
    columns, data = value["columns"], value["data"]
    if not isinstance(columns, list) or not all(type(column) is str for column in columns):
        raise bad_request(f"{form}: columns must be a list of names.")
    if len(set(columns)) < len(columns):
        raise bad_request(f"{form}: columns holds a name twice.")
    if not isinstance(data, list):
        raise bad_request(f"{form}: data must be a list of rows; got {_type_name(data)}.")
    index = value.get("index")
    if index is not None and (not isinstance(index, list) or len(index) != len(data)):
        raise bad_request(
            f"{form}: index must be a list of {len(data)} values, one for each row of data."
        )
    for row, values in enumerate(data):
        if type(values) is not list or len(values) != len(columns):
            raise bad_request(
                f"{form}: row {row} of data must be a list of {len(columns)} values, "
                "one for each of columns."
            )
    return [dict(zip(columns, values, strict=True)) for values in data]


def _tensors(form: str, value: Any) -> list[Record]:  # noqa: ANN401 - any JSON
    """Read one of TensorFlow's forms: a list of records, or an object of columns."""
    if not isinstance(value, dict):
        return _records(form, value)
    lengths = {name: len(values) for name, values in value.items() if isinstance(values, list)}
    if len(set(lengths.values())) > 1:
        few, many = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise bad_request(
            f"{form}: all columns need the same number of values; {few} has {lengths[few]}, "
            f"{many} has {lengths[many]}."
        )
    # A value that is no list is that of all records.
    number = next(iter(lengths.values()), 1)
    columns = [values if name in lengths else [values] * number for name, values in value.items()]
    return [dict(zip(value, values, strict=True)) for values in zip(*columns, strict=True)]


_READERS: dict[str, Callable[[str, Any], list[Record]]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _tensors,
    "inputs": _tensors,
}
FORMS = tuple(_READERS)


def conform(
    records: list[Record],
    schema: Mapping[str, Kind],
    required: Sequence[str] = (),
    sources: Mapping[str, str] | None = None,
) -> list[Record]:
    """Validate records against a model's signature, and convert numbers that are text.

    A text field takes text or a Boolean, a number field a number or its text, and every field null
    or NaN unless it is required; fields outside the schema are ignored. MLflow's server validates
    number fields the same way and text fields not at all, see above. The records are changed in
    place.

    Args:
        records: The records.
        schema: The kind of each field.
        required: The required fields.
        sources: The field by name of the column in the raw file, for messages.

    Raises:
        RequestError: 400; the message names the record and the field.
    """
    if not records:
        return records
    is_any_known = False
    for row, record in enumerate(records):
        for name, value in record.items():
            kind = schema.get(name)
            if kind is None:
                continue
            is_any_known = True
            if value is None:
                continue
            if kind == "string":
                if type(value) is not str:
                    record[name] = _text(row, name, value)
            elif type(value) is not float and type(value) is not int:
                record[name] = _number(row, name, value)
    if not is_any_known:
        raise _no_known_field(records[0], schema, sources or {})
    _check_required(records, required)
    return records


def _no_known_field(
    record: Record, schema: Mapping[str, Kind], sources: Mapping[str, str]
) -> RequestError:
    """Name the fields; to a sender of the raw file's columns also what they are called here."""
    renamed = [f"{name} is {sources[name]}" for name in record if sources.get(name, name) in schema]
    hint = f" Columns of the file have other names here: {', '.join(renamed)}." if renamed else ""
    return invalid_value(
        f"No record has a field that the model knows: send at least one of {', '.join(schema)}."
        f"{hint}"
    )


def _check_required(records: list[Record], required: Sequence[str]) -> None:
    for row, record in enumerate(records):
        for name in required:
            if record.get(name) is None:
                raise invalid_value(f"Record {row} lacks the required field {name}.")


def _text(row: int, name: str, value: Any) -> str | None:  # noqa: ANN401 - any JSON
    """Accept a Boolean as its text, and NaN, by which pandas and MLflow's client send a null."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is not float or not math.isnan(value):
        raise _wrong_type(row, name, "text", value)
    return None


def _number(row: int, name: str, value: Any) -> float:  # noqa: ANN401 - any JSON
    if type(value) is str:
        try:
            return float(value)
        except ValueError:
            pass
    raise _wrong_type(row, name, "a number", value)


def _wrong_type(row: int, name: str, expected: str, value: Any) -> RequestError:  # noqa: ANN401
    return invalid_value(
        f"Record {row}: the field {name} must be {expected} or null; got {_type_name(value)}."
    )


_TYPE_NAMES = {
    dict: "an object", list: "a list", str: "text", bool: "a Boolean", type(None): "null",
}  # fmt: skip


def _type_name(value: Any) -> str:  # noqa: ANN401 - any JSON
    return _TYPE_NAMES.get(type(value), "a number")


def answer(predictions: list[tuple[str, float]]) -> bytes:
    """Encode the body of an answer."""
    rows = [
        {"prediction": prediction, "probability": probability}
        for prediction, probability in predictions
    ]
    return orjson.dumps({"predictions": rows})


def simulated_time(value: bytes) -> int:
    """Parse the header x-simulated-time into microseconds since 1970.

    Raises:
        RequestError: 400; the value is not a time of RFC 3339, or before 1970.
    """
    text = value.decode("latin-1")
    try:
        time = datetime.fromisoformat(text.upper()).astimezone(UTC) if _RFC_3339(text) else None
    except (ValueError, OverflowError):
        time = None
    if time is None or time < _EPOCH:
        raise bad_request(
            "The header x-simulated-time must be a time of 1970 or later with its offset, as in "
            f"2026-01-31T23:59:59.5Z; got {text[:100]}."
        )
    return (time - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
).fullmatch
