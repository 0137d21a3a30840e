"""Bodies that are tables: CSV and Parquet, with the meaning that they have for MLflow's server.

The records have the columns that the model knows, and the inference table has them as the JSON that
a client could have sent instead. Rows are never longer or shorter than the header, so that memory
is a multiple of the body's bytes.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

from marvel_kedro.serving.configuration import Limits
from marvel_kedro.serving.http import content
from marvel_kedro.serving.http.errors import bad_request, invalid_value, too_large
from marvel_kedro.serving.http.protocol import Kind, Record

if TYPE_CHECKING:
    import pyarrow as pa

Row = list[Any]
Table = tuple[list[str], list[Row]]

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
        _check_names([name for name in header if name])  # an index has no name
        known = [(n, name) for n, name in enumerate(header) if name in schema or not schema]
        data = []
        for row in islice(rows, limits.records + 1):
            if len(row) != len(header):
                message = f"The row that ends in line {lines.line_num} of the CSV has {len(row)}"
                raise bad_request(f"{message} cells, its header {len(header)}.")
            data.append([_cell(row[n], schema.get(name, "double")) for n, name in known])
    except (csv.Error, UnicodeDecodeError) as error:
        raise bad_request(f"The body is not CSV in UTF-8: {error}") from None
    _check_number(len(data), limits)
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


def _read_parquet(body: bytes, schema: Mapping[str, Kind], limits: Limits) -> Table:
    import pyarrow as pa  # noqa: PLC0415 - JSON needs none of it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        source = pa.BufferReader(body)
        with pq.ParquetFile(source) as file:
            metadata, fields = file.metadata, file.schema_arrow
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        _check_number(sum(group.num_rows for group in groups), limits)
        chunks = (group.column(place) for group in groups for place in range(group.num_columns))
        if sum(chunk.total_uncompressed_size for chunk in chunks) > limits.body_bytes:
            raise too_large(limits.body_bytes, "decompressed")
        _check_names(fields.names)
        known = [field for field in fields if field.name in schema]
        for field in known:
            _check_type(field)
        if not schema:
            known = [field for field in fields if _is_plain(field.type)]
        names = [field.name for field in known]
        # A column of one long text, repeated, is a short file: it stays a dictionary until counted.
        texts = [field.name for field in known if _is_text(field.type)]
        table = pq.ParquetFile(source, metadata=metadata, read_dictionary=texts).read(
            names, use_threads=False
        )
        if sum(_text_bytes(column) for column in table.columns) > limits.body_bytes:
            raise too_large(limits.body_bytes, "decompressed")
        values = [list(_plain_values(column)) for column in table.columns]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise bad_request(f"The body is not Parquet: {error}") from None
    return names, [list(row) for row in zip(*values, strict=True)]


def _is_text(type_: "pa.DataType") -> bool:
    import pyarrow.types as pt  # noqa: PLC0415

    if pt.is_dictionary(type_):
        type_ = type_.value_type
    return bool(pt.is_string(type_) or pt.is_large_string(type_) or pt.is_string_view(type_))


def _is_plain(type_: "pa.DataType") -> bool:
    import pyarrow.types as pt  # noqa: PLC0415

    checks = (_is_text, pt.is_integer, pt.is_floating, pt.is_decimal, pt.is_boolean, pt.is_null)
    return any(check(type_) for check in checks)


def _check_type(field: "pa.Field[Any]") -> None:
    if not _is_plain(field.type):
        raise invalid_value(
            f"The column {field.name} has the Parquet type {str(field.type)[:100]}: it must have "
            "text, numbers or Booleans."
        )


def _text_bytes(column: "pa.ChunkedArray[Any]") -> int:
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if not _is_text(column.type):
        return 0
    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary) if pa.types.is_dictionary(chunk.type) else None
        sizes = pc.binary_length(chunk) if lengths is None else pc.take(lengths, chunk.indices)
        total += pc.sum(sizes).as_py() or 0
    return total


def _plain_values(column: "pa.ChunkedArray[Any]") -> Iterator[Any]:
    """Yield the values; NaN is missing, as in the frame that MLflow makes of the file."""
    for value in column.to_pylist():
        plain = float(value) if isinstance(value, Decimal) else value
        yield plain if plain == plain else None  # noqa: PLR0124 - NaN differs from itself


def _check_names(names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise bad_request(f"The table has the column {name[:100]} twice.")
        seen.add(name)


def _check_number(records: int, limits: Limits) -> None:
    if records > limits.records:
        raise invalid_value(
            f"The table has more than {limits.records:,} records, the limit of a request. "
            "Send them in several requests."
        )


_READERS: dict[str, Callable[[bytes, Mapping[str, Kind], Limits], Table]] = {
    content.CSV: _read_csv,
    content.PARQUET: _read_parquet,
}
