"""Parsing of the inference table: from one row per request to one row per scored record.

Databricks writes the table for a serving endpoint, and `kedro serve` writes the same schema. A row
holds the bodies of a request and its response, with any number of records.
"""

import json
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.portable.fields import number, text
from marvel_kedro.monitoring.tables import NO_RECORDS
from marvel_kedro.table.description import TableSpec

REQUEST_COLUMNS = (
    *("databricks_request_id", "client_request_id", "request_date", "request_time"),
    *("status_code", "execution_duration_ms", "served_entity_id"),
)
PAYLOAD_COLUMNS = (*REQUEST_COLUMNS, "request", "response", "logging_error_codes")
"""Columns read from the inference table."""

REQUEST_KEY = ("request_date", "databricks_request_id")
"""Identity of a request. Days are read one by one."""
DUPLICATE_ORDER = ("request_time", "databricks_request_id", "status_code", "response")
"""Sort order of the rows of one request, nulls last: the first row counts."""

FORMS = ("dataframe_records", "dataframe_split", "instances", "inputs")
ANSWERED = 200
SMOKE_REQUEST = "marvel-kedro-deploy"
"""`client_request_id` of the request by which a deployment tests the endpoint; it is no traffic."""

Record = dict[str, Any]


@dataclass(frozen=True)
class InferenceLog:
    """Parsed rows of the inference table.

    Attributes:
        requests: One row per request, without duplicates: `REQUEST_COLUMNS`.
        records: One row per scored record, by request time, id and position in the request:
            `REQUEST_COLUMNS`, `record_number`, the key, the inputs of the model, `prediction` and
            `probability`. Fields have the types of the model signature; a field that is absent or
            cannot be converted is null, and one that the table description lacks is left out.
        rejected: One row per request without rows in `records`: `REQUEST_COLUMNS` and `reason`.
    """

    requests: pd.DataFrame
    records: pd.DataFrame
    rejected: pd.DataFrame


def parse_payload(payload: pd.DataFrame, table: TableSpec) -> InferenceLog:
    """Parse rows of the inference table, in any order, with at least `PAYLOAD_COLUMNS`.

    Duplicates of a request on a day count once; test requests of a deployment are skipped. A
    request is used as a whole or rejected with a reason.

    Raises:
        ProjectError: A column is missing.
    """
    check_columns(payload.columns)
    rows = payload[list(PAYLOAD_COLUMNS)]
    rows = rows[(rows["client_request_id"] != SMOKE_REQUEST).fillna(value=True)].copy()
    rows["request_time"] = pd.to_datetime(rows["request_time"], utc=True).dt.as_unit("us")
    rows = rows.sort_values(list(DUPLICATE_ORDER), kind="stable")
    has_id = rows["databricks_request_id"].notna()
    rows = rows[~(has_id & rows.duplicated(list(REQUEST_KEY)))].reset_index(drop=True)
    reasons: list[str | None] = []
    pairs: list[list[tuple[Record, Record]]] = []
    for row in rows.itertuples(index=False):
        try:
            pairs.append(list(_records(row, table.target.classes)))
            reasons.append(None)
        except _RejectedError as rejection:
            pairs.append([])
            reasons.append(str(rejection))
    rejected = rows.assign(reason=pd.Series(reasons, dtype="str")).dropna(subset="reason")
    return InferenceLog(
        requests=rows[list(REQUEST_COLUMNS)],
        records=_to_frame(rows, pairs, table),
        rejected=rejected[[*REQUEST_COLUMNS, "reason"]].reset_index(drop=True),
    )


def check_columns(columns: Container[str]) -> None:
    """Check that a table has the columns of an inference table.

    Raises:
        ProjectError: Columns are missing; the message names them.
    """
    if missing := [name for name in PAYLOAD_COLUMNS if name not in columns]:
        raise ProjectError(
            f"The inference table lacks {', '.join(missing)}: inference_payload in the catalog "
            "must be the table that the endpoint writes."
        )


class _RejectedError(Exception):
    """Reason for rejecting a request."""


def _records(
    row: Any,  # noqa: ANN401 - a named tuple
    classes: tuple[str, str],
) -> Iterator[tuple[Record, Record]]:
    """Return the records of a request, each with its prediction."""
    if pd.isna(row.databricks_request_id):
        raise _RejectedError("it has no id")
    if pd.isna(row.request_time):
        raise _RejectedError("it has no time")
    if pd.Timestamp(row.request_date).date() != row.request_time.date():
        # The run would read its day without measuring the window that it belongs to.
        raise _RejectedError("its request_date is not the day of its request_time")
    if pd.isna(row.status_code) or row.status_code != ANSWERED:
        status = "no status" if pd.isna(row.status_code) else f"status {row.status_code:.0f}"
        raise _RejectedError(f"it was not answered: {status}")
    if pd.isna(row.served_entity_id):
        raise _RejectedError("it has no served_entity_id")
    request = _parse_body(row.request, "request", row.logging_error_codes)
    response = _parse_body(row.response, "response", row.logging_error_codes)
    forms = [form for form in FORMS if form in request]
    if len(forms) != 1:
        raise _RejectedError(f"the request does not have exactly one of {', '.join(FORMS)}")
    reader = _parse_split if forms[0] == "dataframe_split" else _parse_rows
    records = reader(request[forms[0]], forms[0])
    predictions = _parse_rows(response.get("predictions"), "predictions")
    if len(records) != len(predictions):
        raise _RejectedError(f"{len(records)} records and {len(predictions)} predictions")
    if not records:
        raise _RejectedError(NO_RECORDS)
    if not all(_is_prediction(prediction, classes) for prediction in predictions):
        raise _RejectedError(
            f"a prediction is not {' or '.join(classes)} with a probability from 0 to 1"
        )
    return zip(records, predictions, strict=True)


def _parse_body(body: Any, name: str, codes: Any) -> Record:  # noqa: ANN401 - a cell
    if not isinstance(body, str):
        listed = ", ".join(map(str, codes)) if isinstance(codes, (list, np.ndarray)) else ""
        raise _RejectedError(f"the {name} was not logged" + (f": {listed}" if listed else ""))
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise _RejectedError(f"the {name} is not JSON") from None
    if not isinstance(found, dict):
        raise _RejectedError(f"the {name} is not a JSON object")
    return found


def _parse_split(value: Any, form: str) -> list[Record]:  # noqa: ANN401 - any JSON
    split = value if isinstance(value, dict) else {}
    columns, data = split.get("columns"), split.get("data")
    if not isinstance(columns, list) or not isinstance(data, list):
        raise _RejectedError(f"{form} has no columns and data")
    if not all(isinstance(row, list) and len(row) == len(columns) for row in data):
        raise _RejectedError(f"{form}: the values of a row do not match the columns")
    names = [str(name) for name in columns]
    return [dict(zip(names, row, strict=True)) for row in data]


def _parse_rows(value: Any, form: str) -> list[Record]:  # noqa: ANN401 - any JSON
    """Return records given as a list, or as an object of columns."""
    if isinstance(value, dict):
        lengths = {len(cell) for cell in value.values() if isinstance(cell, list)} or {1}
        if len(lengths) > 1:
            raise _RejectedError(f"{form}: its columns differ in length")
        (number,) = lengths  # a value that is no list is that of all records
        columns = [cell if isinstance(cell, list) else [cell] * number for cell in value.values()]
        return [dict(zip(value, row, strict=True)) for row in zip(*columns, strict=True)]
    if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
        raise _RejectedError(f"{form} is not a list of records")
    return value


def _is_prediction(prediction: Record, classes: tuple[str, str]) -> bool:
    probability = prediction.get("probability")
    return (
        prediction.get("prediction") in classes
        and isinstance(probability, (int, float))
        and not isinstance(probability, bool)
        and 0 <= probability <= 1
    )


def _to_frame(
    rows: pd.DataFrame, pairs: list[list[tuple[Record, Record]]], table: TableSpec
) -> pd.DataFrame:
    repeated = rows.index.repeat([len(some) for some in pairs])
    frame = rows.loc[repeated, list(REQUEST_COLUMNS)].reset_index(drop=True)
    frame["record_number"] = np.array([n for some in pairs for n in range(len(some))], np.int64)
    records = [record for some in pairs for record, _ in some]
    predictions = [prediction for some in pairs for _, prediction in some]
    fields: dict[str, Any] = {table.key: [_to_text(record.get(table.key)) for record in records]}
    for name, column in table.inputs.items():
        values = (record.get(name) for record in records)
        if column.is_number:
            fields[name] = [number(value, *column.bounds) for value in values]
        else:
            fields[name] = [_to_text(value) for value in values]
    for name in ("prediction", "probability"):
        fields[name] = [one[name] for one in predictions]
    numbers = {*table.numbers, "probability"}
    typed = {
        name: pd.Series(values, dtype="float64" if name in numbers else "str")
        for name, values in fields.items()
    }
    return pd.concat([frame, pd.DataFrame(typed)], axis=1)  # at once: there may be 2,000


def _to_text(value: Any) -> str | None:  # noqa: ANN401 - any JSON
    """Return text as it was sent; convert other values as `model.portable` does."""
    if value is None:
        return None
    if not isinstance(value, str):
        return text(value) or None
    # JSON can encode lone surrogates, which no table can hold.
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
