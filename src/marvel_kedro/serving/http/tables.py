"""Bodies that are tables: CSV and Parquet, with the meaning that they have for MLflow's server.

The records have the columns that the model knows, and the inference table has them as the JSON that
a client could have sent instead. Rows are never longer or shorter than the header, so that memory
is a multiple of the body's bytes.
"""

import csv
from collections.abc import Callable, Mapping
from io import StringIO
from itertools import islice
from typing import Any

import orjson

from marvel_kedro.serving.configuration import Limits
from marvel_kedro.serving.http import content, parquet
from marvel_kedro.serving.http.errors import bad_request, invalid_value
from marvel_kedro.serving.http.parquet import Table, check_names, check_number
from marvel_kedro.serving.http.protocol import Kind, Record

MISSING = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
     "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")
)  # fmt: skip
"""Cells that are missing, also in quotes: those of `pandas.read_csv`, which MLflow calls."""

csv.field_size_limit(2**31 - 1)  # of Python's csv for all; the body is limited already

_INTEGERS = 2**63  # larger ones are floats, as in pandas and in JSON
_BOOLEANS = {"true": True, "false": False}


def read(
    media_type: str, body: bytes, schema: Mapping[str, Kind], key: str, limits: Limits
) -> tuple[list[Record], bytes]:
    """Read a table into records.

    Args:
        media_type: `content.CSV` or `content.PARQUET`.
        body: The table.
        schema: Kind by input field of the model; of other columns only the key is read. If empty,
            all columns are read, as numbers where they are.
        key: The column that completes records.
        limits: Of the records, and of the bytes that a Parquet file may have decompressed.

    Returns:
        The records, and the same as JSON for the inference table.

    Raises:
        RequestError: 400 or 413; the message names row or column.
    """
    fields: Mapping[str, Kind] = {key: "string", **schema} if schema else {}
    columns, rows = _READERS[media_type](body, fields, limits)
    if schema and not columns:
        raise invalid_value(
            f"No column of the table is known to the model: send at least one of "
            f"{', '.join(schema)}."
        )
    split = {"dataframe_split": {"columns": columns, "data": rows}}
    return [dict(zip(columns, row, strict=True)) for row in rows], orjson.dumps(split)


def _read_csv(body: bytes, schema: Mapping[str, Kind], limits: Limits) -> Table:
    try:
        lines = csv.reader(StringIO(body.decode("utf-8-sig"), newline=""), strict=True)
        rows = (row for row in lines if row and not (len(row) == 1 and row[0].isspace()))
        header = next(rows, None)
        if header is None:
            raise bad_request("The body is not CSV: it has no header.")
        check_names([name for name in header if name])  # an index has no name
        known = [(n, name) for n, name in enumerate(header) if name in schema or not schema]
        data = []
        for row in islice(rows, limits.records + 1):
            if len(row) != len(header):
                message = f"The row that ends in line {lines.line_num} of the CSV has {len(row)}"
                raise bad_request(f"{message} cells, its header {len(header)}.")
            data.append([_cell(row[n], schema.get(name, "double")) for n, name in known])
    except (csv.Error, UnicodeDecodeError) as error:
        raise bad_request(f"The body is not CSV in UTF-8: {error}") from None
    check_number(len(data), limits)
    return [name for _, name in known], data


def _cell(text: str, kind: Kind) -> Any:  # noqa: ANN401 - any JSON
    """Return a cell as JSON would have it; text that is no number is for `conform` to reject."""
    if text in MISSING:
        return None
    if kind == "string":
        return text
    for convert in (int, float):
        try:
            number = convert(text)
        except ValueError:
            continue
        if isinstance(number, float) or abs(number) < _INTEGERS:
            return number
    return _BOOLEANS.get(text.lower(), text)


_READERS: dict[str, Callable[[bytes, Mapping[str, Kind], Limits], Table]] = {
    content.CSV: _read_csv,
    content.PARQUET: parquet.read,
}
