"""Bodies of requests and answers: the contract that MLflow and Databricks share.

Source: MLflow's scoring server and Databricks' "Query serving endpoints for custom models".

What both take is scored the same. This is where MLflow's scoring server takes something else:

- Numbers, Booleans, lists and objects in a text field, and Booleans in a number field, are scored
  there, mostly as missing; here they are refused, and the message names record and field.
- Rows of `data` that are shorter than others, no lists, or under names that are no text are filled
  up there, and refused here. `index` numbers rows there, and a wrong one is refused or makes rows;
  here it does not matter.
- Records of `instances` with different fields: there values slide into other records' places.
- No records: here the answer has no predictions; there they are refused, but for those that have
  columns.
- `client_request_id` beside `instances` and `inputs` is taken, as on Databricks. It has to be text,
  and `params` an object, which MLflow does not look at.
- A whole number of more than 300 digits is refused there, and is missing here, like 1e400.
- CSV and Parquet are not taken: 415.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, NamedTuple

import orjson

from marvel_kedro.serving.http.errors import bad_request, invalid_value

_MOST_DIGITS = 300
_LONGEST = 2000  # characters of a message, which may quote what was sent

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

MOST_OF_AN_ID = 256
"""Characters of a `client_request_id`, which goes into the log and the table as it is."""

Record = dict[str, Any]

Kind = Literal["string", "double"]


class Request(NamedTuple):
    """A body, read.

    Attributes:
        records: Fields by name, one dictionary a record.
        client_request_id: What the client calls the request.
    """

    records: list[Record]
    client_request_id: str | None


def read(body: bytes) -> Request:
    """Read the body of an invocation.

    Raises:
        Refusal: 400; the message says which part of the body is wrong.
    """
    fields = _json(body)
    forms = [form for form in FORMS if form in fields]
    if len(forms) != 1:
        got = " and ".join(forms) or ", ".join(list(fields)[:10]) or "nothing"
        raise bad_request(f"Send exactly one of {', '.join(FORMS)}; got {got}.")
    params = fields.get("params")
    if params is not None and not isinstance(params, dict):
        raise bad_request("params has to be an object.")
    name = fields.get("client_request_id")
    if name is not None and not isinstance(name, str):
        raise bad_request("client_request_id has to be text.")
    if name is not None and len(name) > MOST_OF_AN_ID:
        raise bad_request(f"client_request_id has more than {MOST_OF_AN_ID} characters.")
    form = forms[0]
    return Request(_READERS[form](form, fields[form]), name)


def _json(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        try:  # the NaN that Python's own json writes, and whole numbers of any length
            fields = json.loads(body, parse_int=_whole_number)
        except (ValueError, RecursionError) as error:
            said = str(error) or type(error).__name__
            raise bad_request(f"The body is no JSON: {said}") from None
    if not isinstance(fields, dict):
        raise bad_request(
            f"The body has to be an object with one of {', '.join(FORMS)}; got {_kind_of(fields)}."
        )
    return fields


def _whole_number(digits: str) -> float:
    """What a float cannot hold is infinite: as an integer nobody could compute with it."""
    return int(digits) if len(digits) <= _MOST_DIGITS else float(digits)


def _records(form: str, value: Any) -> list[Record]:  # noqa: ANN401 - any JSON
    if not isinstance(value, list):
        raise bad_request(f"{form} has to be a list of records; got {_kind_of(value)}.")
    for row, record in enumerate(value):
        if type(record) is not dict:
            raise bad_request(
                f"{form}: record {row} has to be an object of fields by name; "
                f"got {_kind_of(record)}."
            )
    return value


def _split(form: str, value: Any) -> list[Record]:  # noqa: ANN401 - any JSON
    if not isinstance(value, dict) or not value.keys() >= {"columns", "data"}:
        raise bad_request(f"{form} has to be an object with columns and data.")
    if unknown := sorted(value.keys() - {"columns", "data", "index"}):
        raise bad_request(f"{form} has columns, data and index, not {', '.join(unknown[:10])}.")
    columns, data = value["columns"], value["data"]
    if not isinstance(columns, list) or not all(type(column) is str for column in columns):
        raise bad_request(f"{form}: columns has to be a list of names.")
    if len(set(columns)) < len(columns):
        raise bad_request(f"{form}: a column is named twice.")
    if not isinstance(data, list):
        raise bad_request(f"{form}: data has to be a list of rows; got {_kind_of(data)}.")
    for row, values in enumerate(data):
        if type(values) is not list or len(values) != len(columns):
            raise bad_request(
                f"{form}: row {row} of data has to be a list of {len(columns)} values, "
                "one for each of columns."
            )
    return [dict(zip(columns, values, strict=True)) for values in data]


def _tensors(form: str, value: Any) -> list[Record]:  # noqa: ANN401 - any JSON
    """TensorFlow's forms: a list of records, or an object of columns."""
    if not isinstance(value, dict):
        return _records(form, value)
    columns = {
        name: values if isinstance(values, list) else [values] for name, values in value.items()
    }
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        few, many = min(lengths, key=lengths.__getitem__), max(lengths, key=lengths.__getitem__)
        raise bad_request(
            f"{form}: all columns need as many values; {few} has {lengths[few]}, "
            f"{many} has {lengths[many]}."
        )
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, values, strict=True)) for values in rows]


_READERS: dict[str, Callable[[str, Any], list[Record]]] = {
    "dataframe_split": _split,
    "dataframe_records": _records,
    "instances": _tensors,
    "inputs": _tensors,
}


def conform(
    records: list[Record], schema: Mapping[str, Kind], required: Sequence[str] = ()
) -> list[Record]:
    """Hold records against the signature of a model.

    Text is text, a number is a number or the text of one, and anything may be null. MLflow's server
    refuses the same of a number; of text it refuses nothing: see above.

    Args:
        records: The records; fields that the schema lacks do not matter.
        schema: Kind by field.
        required: Fields that every record has to have.

    Returns:
        The records, with numbers where there was the text of one.

    Raises:
        Refusal: 400; the message names the record and the field.
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
                    raise _wrong_type(row, name, "text", value)
            elif type(value) is not float and type(value) is not int:
                record[name] = _number(row, name, value)
    if not is_any_known:
        raise invalid_value(
            f"No record has a field that the model knows: send at least one of {', '.join(schema)}."
        )
    _check_required(records, required)
    return records


def _check_required(records: list[Record], required: Sequence[str]) -> None:
    for row, record in enumerate(records):
        for name in required:
            if record.get(name) is None:
                raise invalid_value(f"Record {row} lacks the field {name}, which has to be there.")


def _number(row: int, name: str, value: Any) -> float:  # noqa: ANN401 - any JSON
    if type(value) is str:
        try:
            return float(value)
        except ValueError:
            pass
    raise _wrong_type(row, name, "a number", value)


def _wrong_type(row: int, name: str, wanted: str, value: Any) -> Exception:  # noqa: ANN401
    return invalid_value(
        f"Record {row}: the field {name} has to be {wanted} or null; got {_kind_of(value)}."
    )


_KINDS = {dict: "an object", list: "a list", str: "text", bool: "a Boolean", type(None): "null"}


def _kind_of(value: Any) -> str:  # noqa: ANN401 - any JSON
    return _KINDS.get(type(value), "a number")


def answer(predictions: list[tuple[str, float]]) -> bytes:
    """The body of an answer."""
    return orjson.dumps(
        {
            "predictions": [
                {"prediction": prediction, "probability": probability}
                for prediction, probability in predictions
            ]
        }
    )


def simulated_time(value: bytes) -> int:
    """When a request is said to be made, in microseconds since 1970.

    Raises:
        Refusal: 400; it is no time as RFC 3339 writes it, or before 1970.
    """
    said = value.decode("latin-1")
    try:
        at = datetime.fromisoformat(said.upper()).astimezone(UTC) if _RFC_3339(said) else None
    except (ValueError, OverflowError):
        at = None
    if at is None or at < _EPOCH:
        raise bad_request(
            "The header x-simulated-time has to be a time of 1970 or later with its offset, as in "
            f"2026-01-31T23:59:59.5Z; got {said[:100]}."
        )
    return (at - _EPOCH) // timedelta(microseconds=1)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII
).fullmatch


def refuse(code: str, message: str) -> bytes:
    """The body of a refusal."""
    # Text from JSON may hold lone surrogates, which UTF-8 cannot say.
    clean = message[:_LONGEST].encode("utf-8", "replace").decode()
    return orjson.dumps({"error_code": code, "message": clean})
