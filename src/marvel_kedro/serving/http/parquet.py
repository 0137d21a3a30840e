"""Parquet bodies, whose footer may state anything: the pages bound what is decompressed."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from marvel_kedro.serving.configuration import Limits
from marvel_kedro.serving.http.errors import bad_request, invalid_value, too_large
from marvel_kedro.serving.http.protocol import Kind

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

Row = list[Any]
Table = tuple[list[str], list[Row]]

_MULTIPLE = 2  # of the limit that values may have before they are counted
_PAGE_BYTES = 256  # as many bytes does a page count at least, which bounds the number of pages


def read(body: bytes, schema: Mapping[str, Kind], limits: Limits) -> Table:
    """Read the columns of a schema; of an empty one all that have text, numbers or Booleans.

    Raises:
        RequestError: 400 or 413.
    """
    import pyarrow as pa  # noqa: PLC0415 - JSON needs none of it
    import pyarrow.parquet as pq  # noqa: PLC0415

    try:
        with pq.ParquetFile(pa.BufferReader(body)) as file:
            rows = sum(abs(group.num_rows) for group in _groups(file))
            check_number(rows, limits)
            fields = file.schema_arrow
            check_names(fields.names)
            known = [field for field in fields if field.name in schema]
            for field in known:
                _check_type(field)
            if not schema:
                known = [field for field in fields if _is_plain(field.type)]
            names = [field.name for field in known]
            # MLflow's code reads all columns for a model without a schema.
            found = _rows(body, file, names, names if schema else None, limits.body_bytes)
    except (pa.ArrowException, OSError, ValueError, IndexError, RecursionError) as error:
        raise bad_request(f"The body is not Parquet: {error}") from None
    if names and len(found) != rows:
        raise bad_request(f"The body is not Parquet: it has {len(found)} of {rows} rows.")
    return names, found


def _rows(
    body: bytes, file: "pq.ParquetFile", names: list[str], read: list[str] | None, limit: int
) -> list[Row]:
    """Read in batches: a short page may hold one long text for each of many rows."""
    size = _decompressed(body, file, limit)
    number = max(1, _MULTIPLE * limit // max(1, size))  # no value is longer than all pages
    held, rows = 0, []
    for batch in file.iter_batches(min(number, 65_536), columns=read, use_threads=False):
        held += sum(map(_bytes, batch.columns))
        if held > limit:
            raise too_large(limit, "decompressed")
        values = [_plain_values(batch.column(name)) for name in names]
        rows += [list(row) for row in zip(*values, strict=True)]
    return rows


def _groups(file: "pq.ParquetFile") -> Iterator[Any]:
    return map(file.metadata.row_group, range(file.metadata.num_row_groups))


def _decompressed(body: bytes, file: "pq.ParquetFile", limit: int) -> int:
    """Return the bytes of all pages; raise a RequestError if they are more than the limit."""
    size = 0
    for group in _groups(file):
        for chunk in map(group.column, range(group.num_columns)):
            start, dictionary = chunk.data_page_offset, chunk.dictionary_page_offset or 0
            if 0 < dictionary < start:
                start = dictionary
            if start <= 0:  # of a group without rows, which Arrow does not read
                continue
            for page in _page_sizes(body, start, start + chunk.total_compressed_size):
                size += max(page, _PAGE_BYTES)
                if size > limit:
                    raise too_large(limit, "decompressed")
    return size


def _page_sizes(body: bytes, at: int, end: int) -> Iterator[int]:
    """Yield the decompressed sizes of pages, which their headers hold and Arrow verifies."""
    while at < end:
        header, at = _struct(body, at)
        decompressed, compressed = header.get(2, -1), header.get(3, -1)
        if decompressed < 0 or compressed < 0:
            raise ValueError("a page has no size")
        yield decompressed
        at += compressed


def _struct(body: bytes, at: int) -> tuple[dict[int, int], int]:
    """Read whole numbers by field, of Thrift's compact protocol, and return the place behind."""
    found: dict[int, int] = {}
    field = 0
    while kind := body[at] & 15:
        step, at = body[at] >> 4, at + 1
        field += step
        if not step:
            field, at = _number(body, at)
        match kind:
            case 1 | 2:  # a Boolean, which is its own value
                pass
            case 3:
                at += 1
            case 4 | 5 | 6:
                found[field], at = _number(body, at)
            case 7:
                at += 8
            case 8:
                length, at = _varint(body, at)
                at += length
            case 12:
                _, at = _struct(body, at)
            case _:
                raise ValueError("a page has an unknown header")
    return found, at + 1


def _number(body: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(body, at)
    return value >> 1 ^ -(value & 1), at


def _varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 64, 7):
        byte = body[at]
        at += 1
        value |= (byte & 127) << shift
        if not byte & 128:
            return value, at
    raise ValueError("a page has a number without an end")


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


def _bytes(column: "pa.Array[Any]") -> int:
    """Return the bytes of the values; a category has its text once."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    if not (pa.types.is_dictionary(column.type) and _is_text(column.type)):
        return int(column.nbytes)
    lengths = pc.take(pc.binary_length(column.dictionary), column.indices)
    return pc.sum(lengths).as_py() or 0


def _plain_values(column: "pa.Array[Any]") -> Iterator[Any]:
    """Yield the values; NaN is missing, as in the frame that MLflow makes of the file."""
    for value in column.to_pylist():
        plain = float(value) if isinstance(value, Decimal) else value
        yield plain if plain == plain else None  # noqa: PLR0124 - NaN differs from itself


def check_names(names: list[str]) -> None:
    """Raise a RequestError for a column that is there twice."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise bad_request(f"The table has the column {name[:100]} twice.")
        seen.add(name)


def check_number(records: int, limits: Limits) -> None:
    """Raise a RequestError for more records than the limit."""
    if records > limits.records:
        raise invalid_value(
            f"The table has more than {limits.records:,} records, the limit of a request. "
            "Send them in several requests."
        )
