"""The inference table, read: from one row a request to one row a scored record.

The table is the one that Databricks writes for a serving endpoint and that `kedro serve` writes as
well: a row holds the bodies of a request and of its answer, whatever number of records they had.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS, number, text

REQUEST_COLUMNS = (
    "databricks_request_id",
    "client_request_id",
    "request_date",
    "request_time",
    "status_code",
    "execution_duration_ms",
    "served_entity_id",
)
PAYLOAD_COLUMNS = (*REQUEST_COLUMNS, "request", "response", "logging_error_codes")
"""What is read of the table; its other columns do not matter here."""

RECORD_COLUMNS = (
    "databricks_request_id",
    "record_number",
    "request_date",
    "request_time",
    "served_entity_id",
    "client_request_id",
    "page_id",
    *TEXT_COLUMNS,
    *NUMBER_COLUMNS,
    "prediction",
    "probability",
    "execution_duration_ms",
)
REJECTED_COLUMNS = (*REQUEST_COLUMNS, "reason")

ONCE = ("request_date", "databricks_request_id")
"""What a request is known by. Days are read one by one."""
ORDER = ("request_time", "databricks_request_id", "status_code", "response")
"""Of several rows of one request the first counts; what has no value comes last."""

FORMS = ("dataframe_records", "dataframe_split", "instances", "inputs")
ANSWERED = 200
SMOKE_REQUEST = "marvel-kedro-deploy"
"""`client_request_id` of the request by which a deployment tries the endpoint; nobody's traffic."""

Record = dict[str, Any]


@dataclass(frozen=True)
class InferenceLog:
    """What the inference table says.

    Attributes:
        requests: One row a request, each id once: `REQUEST_COLUMNS`.
        records: One row a scored record, in the order of request time, id and place in the request:
            `RECORD_COLUMNS`. The fields are those that the request had, of the types of the model's
            signature; a field that is absent or cannot be of its type is null.
        rejected: One row a request that has no record in `records`: `REJECTED_COLUMNS`.
    """

    requests: pd.DataFrame
    records: pd.DataFrame
    rejected: pd.DataFrame


def read(payload: pd.DataFrame) -> InferenceLog:
    """Read rows of the inference table, in any order.

    A request that is there more than once on a day counts once, a deployment's own not at all. Each
    request is either in `rejected`, with the reason, or all its records are in `records`: a request
    that is half understood is not used.

    Args:
        payload: Rows with at least `PAYLOAD_COLUMNS`.

    Raises:
        ProjectError: The table lacks a column.
    """
    check_columns(payload.columns)
    rows = payload[list(PAYLOAD_COLUMNS)]
    rows = rows[(rows["client_request_id"] != SMOKE_REQUEST).fillna(value=True)].copy()
    rows["request_time"] = pd.to_datetime(rows["request_time"], utc=True).dt.as_unit("us")
    rows = rows.sort_values(list(ORDER), kind="stable")
    named = rows["databricks_request_id"].notna()
    rows = rows[~(named & rows.duplicated(list(ONCE)))].reset_index(drop=True)
    reasons: list[str | None] = []
    pairs: list[list[tuple[Record, Record]]] = []
    for row in rows.itertuples(index=False):
        try:
            pairs.append(list(_records(row)))
            reasons.append(None)
        except _RejectedError as rejection:
            pairs.append([])
            reasons.append(str(rejection))
    reason = pd.Series(reasons, index=rows.index, dtype="str")
    return InferenceLog(
        requests=rows[list(REQUEST_COLUMNS)],
        records=_table(rows, pairs),
        rejected=rows.assign(reason=reason)[reason.notna()][list(REJECTED_COLUMNS)].reset_index(
            drop=True
        ),
    )


def check_columns(columns: Any) -> None:  # noqa: ANN401 - names of any frame
    """Refuse a table that is no inference table.

    Raises:
        ProjectError: It names the columns that are missing.
    """
    missing = [name for name in PAYLOAD_COLUMNS if name not in set(columns)]
    if missing:
        raise ProjectError(
            f"The inference table lacks {', '.join(missing)}: inference_payload in the catalog has "
            "to be the table that the endpoint writes."
        )


class _RejectedError(Exception):
    """Why no record of a request is used."""


def _records(row: Any) -> Iterator[tuple[Record, Record]]:  # noqa: ANN401 - a named tuple
    """The records of a request, each with what was answered."""
    if pd.isna(row.databricks_request_id):
        raise _RejectedError("it has no id")
    if pd.isna(row.request_time):
        raise _RejectedError("it has no time")
    if pd.Timestamp(row.request_date).date() != row.request_time.date():
        # Else its day would be read and the window that it belongs to not be measured.
        raise _RejectedError("its request_date is not the day of its request_time")
    if pd.isna(row.status_code) or row.status_code != ANSWERED:
        status = "no status" if pd.isna(row.status_code) else f"status {row.status_code:.0f}"
        raise _RejectedError(f"it was not answered: {status}")
    if pd.isna(row.served_entity_id):
        raise _RejectedError("nobody is said to have answered it")
    body = _body(row.request, "request", row.logging_error_codes)
    answer = _body(row.response, "response", row.logging_error_codes)
    forms = [form for form in FORMS if form in body]
    if len(forms) != 1:
        raise _RejectedError(f"the request has not one of {', '.join(FORMS)}")
    asked = _READERS[forms[0]](body[forms[0]], forms[0])
    said = _rows(answer.get("predictions"), "predictions")
    if len(asked) != len(said):
        raise _RejectedError(f"{len(asked)} records and {len(said)} predictions")
    if not asked:
        raise _RejectedError("it has no records")
    if not all(map(_is_answer, said)):
        raise _RejectedError("a prediction is not Alive or Dead with a probability from 0 to 1")
    return zip(asked, said, strict=True)


def _body(body: Any, what: str, codes: Any) -> Record:  # noqa: ANN401 - a cell
    if not isinstance(body, str):
        told = ", ".join(map(str, codes)) if isinstance(codes, (list, np.ndarray)) else ""
        raise _RejectedError(f"the {what} was not written down" + (f": {told}" if told else ""))
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise _RejectedError(f"the {what} is no JSON") from None
    if not isinstance(found, dict):
        raise _RejectedError(f"the {what} is no JSON object")
    return found


def _split(value: Any, form: str) -> list[Record]:  # noqa: ANN401 - any JSON
    columns, data = (
        (value.get("columns"), value.get("data")) if isinstance(value, dict) else (None, None)
    )
    if not isinstance(columns, list) or not isinstance(data, list):
        raise _RejectedError(f"{form} has no columns and data")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        raise _RejectedError(f"{form}: a row has not as many values as there are columns")
    names = [str(name) for name in columns]
    return [dict(zip(names, row, strict=True)) for row in data]


def _rows(value: Any, form: str) -> list[Record]:  # noqa: ANN401 - any JSON
    """A list of records, or an object of columns."""
    if isinstance(value, dict):
        columns = [cell if isinstance(cell, list) else [cell] for cell in value.values()]
        if len({len(column) for column in columns}) > 1:
            raise _RejectedError(f"{form}: its columns have not the same length")
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise _RejectedError(f"{form} is no list of records")
    return value


_READERS: dict[str, Callable[[Any, str], list[Record]]] = {
    "dataframe_records": _rows,
    "dataframe_split": _split,
    "instances": _rows,
    "inputs": _rows,
}


def _is_answer(said: Record) -> bool:
    probability = said.get("probability")
    return (
        said.get("prediction") in ("Alive", "Dead")
        and isinstance(probability, (int, float))
        and not isinstance(probability, bool)
        and 0 <= probability <= 1
    )


def _table(rows: pd.DataFrame, pairs: list[list[tuple[Record, Record]]]) -> pd.DataFrame:
    counts = np.array([len(records) for records in pairs], dtype=np.int64)
    index = np.repeat(np.arange(len(rows)), counts)
    table = rows.iloc[index][list(REQUEST_COLUMNS)].reset_index(drop=True)
    first = np.cumsum(counts) - counts
    table["record_number"] = np.arange(len(index)) - first[index]
    flat = [pair for records in pairs for pair in records]
    for name in ("page_id", *TEXT_COLUMNS):
        texts = [_text(asked.get(name)) for asked, _ in flat]
        table[name] = pd.Series(texts, dtype="str")
    for name in NUMBER_COLUMNS:
        numbers = [number(asked.get(name)) for asked, _ in flat]
        table[name] = pd.Series(numbers, dtype="float64")
    table["prediction"] = pd.Series([said["prediction"] for _, said in flat], dtype="str")
    table["probability"] = pd.Series([said["probability"] for _, said in flat], dtype="float64")
    return table[list(RECORD_COLUMNS)]


def _text(value: Any) -> str | None:  # noqa: ANN401 - any JSON
    """Text as it was sent; what else stands for text becomes it as in `features.py`."""
    if value is None:
        return None
    if not isinstance(value, str):
        return text(value) or None
    # JSON can say halves of a character, which no table can hold.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
