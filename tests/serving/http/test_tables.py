"""CSV and Parquet bodies: scored and logged as the JSON that a client could have sent instead."""

import decimal
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import at_most
from support.in_process import Answer, InProcess, deploy, started
from support.running_server import Store, describe
from support.table import TABLE

from marvel_kedro.monitoring.inference_log import parsing

CSV, PARQUET = "text/csv", "application/vnd.apache.parquet"
FRAME: Any = pd.DataFrame(
    {
        "name": ["A", "B"],
        "universe": ["Earth-616", None],
        "height": [1.78, np.nan],
        "shoe": [44, 45],
    }
)
RECORDS: list[dict[str, Any]] = [
    {"name": "A", "universe": "Earth-616", "height": 1.78},
    {"name": "B", "universe": None, "height": None},
]


def zipped(body: bytes) -> bytes:
    """Compress without the time, which would make other names of tests in each process."""
    return gzip.compress(body, mtime=0)


def send(endpoint: InProcess, media_type: str, body: bytes | str, **headers: str) -> Answer:
    sent = body.encode() if isinstance(body, str) else body
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return endpoint.request("POST", "/invocations", sent, {"content-type": media_type} | named)


def parquet(frame: pd.DataFrame | pa.Table, **options: Any) -> bytes:
    file = io.BytesIO()
    table = pa.Table.from_pandas(frame) if isinstance(frame, pd.DataFrame) else frame
    pq.write_table(table, file, **options)
    return file.getvalue()


def plainly(frame: pd.DataFrame | pa.Table, encoding: str = "PLAIN") -> bytes:
    """Write pages without dictionaries."""
    return parquet(
        frame, use_dictionary=False, column_encoding={"name": encoding}, compression="zstd"
    )


def forged(file: bytes) -> bytes:
    """State in the footer of a file of one column that it holds next to nothing."""
    column = pq.ParquetFile(io.BytesIO(file)).metadata.row_group(0).column(0)
    rest, written = column.total_uncompressed_size << 1, b""
    while rest:
        written += bytes([rest & 127 | 128])
        rest >>= 7
    start = len(file) - 8 - int.from_bytes(file[-8:-4], "little")
    small = bytes([130, *[128] * (len(written) - 2), 0])
    footer = file[start:].replace(written[:-1] + bytes([written[-1] & 127]), small)
    changed = file[:start] + footer
    column = pq.ParquetFile(io.BytesIO(changed)).metadata.row_group(0).column(0)
    assert column.total_uncompressed_size == 1
    return changed


def scored(endpoint: InProcess, records: list[dict[str, Any]]) -> Any:
    answer = endpoint.post({"dataframe_records": records})
    assert answer.status == 200, answer.body
    return answer.json["predictions"]


def measured(endpoint: InProcess, request: Any) -> list[Any]:
    """Return the records that monitoring reads from the last answered request."""
    row = endpoint.rows()[-1]
    assert row["status_code"] == 200
    assert json.loads(row["request"]) == request
    time = pd.to_datetime(row["request_time"], unit="us", utc=True)
    payload = pd.DataFrame([row | {"request_date": time.date(), "request_time": time}])
    records = parsing.parse_payload(payload, TABLE).records
    return records.astype(object).where(records.notna(), None).to_dict("records")


CSVS: list[tuple[str, list[dict[str, Any]]]] = [
    (FRAME.to_csv(), RECORDS),
    (FRAME.to_csv(index=False, lineterminator="\r\n"), RECORDS),
    ("\ufeffname,gender\nA,Male\n", [{"name": "A", "gender": "Male"}]),
    ('gender\nMale\n\n   \n""\n', [{"gender": "Male"}, {"gender": None}]),
    ('gender\nNA\n"NA"\nnull\n#N/A\nNone\n', [{"gender": None}] * 5),
    ('origin\n"a, ""b""\nc"\n NA \n', [{"origin": 'a, "b"\nc'}, {"origin": " NA "}]),
    ("universe\n616\n007\nTrue\n", [{"universe": text} for text in ("616", "007", "True")]),
    ("height\n5\n 1.5 \n1e2\nNA\n", [{"height": value} for value in (5, 1.5, 100.0, None)]),
    ("height\n" + "9" * 400 + "\ninf\n", [{"height": None}] * 2),
]


@pytest.mark.parametrize(("body", "records"), CSVS, ids=[repr(body[:30]) for body, _ in CSVS])
def test_csv_is_scored_and_logged_as_json(
    endpoint: InProcess, body: str, records: list[dict[str, Any]]
) -> None:
    expected = scored(endpoint, records)
    answer = send(endpoint, CSV, body)
    assert (answer.status, answer.json) == (200, {"predictions": expected})
    columns, rows = list(records[0]), [list(record.values()) for record in records]
    logged = measured(endpoint, {"dataframe_split": {"columns": columns, "data": rows}})
    for record, found in zip(records, logged, strict=True):
        assert {name: found[name] for name in columns} == record


FRAMES: dict[str, pd.DataFrame | pa.Table] = {
    "frame": FRAME,
    "index": FRAME.set_index("name"),
    "category": FRAME.astype({"universe": "category"}),
    "decimal": FRAME.assign(height=[decimal.Decimal("1.78"), None]),
    "text of a number": FRAME.assign(height=["1.78", None]),
    "views": pa.Table.from_pandas(FRAME).set_column(
        1, "universe", pa.array(["Earth-616", None], pa.string_view())
    ),
    "a column of lists that is not read": FRAME.assign(shoe=[[1], [2]]),
    "only nulls": FRAME.assign(gender=[None, None]),
}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("compression", ["snappy", "zstd"])
def test_parquet_is_scored_and_logged_as_json(
    endpoint: InProcess, name: str, compression: str
) -> None:
    expected = scored(endpoint, RECORDS)
    answer = send(endpoint, PARQUET, parquet(FRAMES[name], compression=compression))
    assert (answer.status, answer.json) == (200, {"predictions": expected})
    request = json.loads(endpoint.rows()[-1]["request"])
    for record, found in zip(RECORDS, measured(endpoint, request), strict=True):
        assert {column: found[column] for column in record} == record


@pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
def test_parquet_without_dictionaries_is_scored(endpoint: InProcess, encoding: str) -> None:
    """DuckDB, arrow-rs and version 2 of parquet-mr write these."""
    answer = send(endpoint, PARQUET, plainly(FRAME, encoding))
    assert (answer.status, answer.json["predictions"]) == (200, scored(endpoint, RECORDS))


def test_records_of_a_table_are_completed_and_missing_ones_scored(endpoint: InProcess) -> None:
    for body in ("name,height\n", parquet(FRAME.head(0))):
        answer = send(endpoint, CSV if isinstance(body, str) else PARQUET, body)
        assert (answer.status, answer.json) == (200, {"predictions": []})
    answer = send(endpoint, CSV, "page_id\n007\n")
    assert "no table online_records" in answer.error[2]


def twice(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame).append_column("name", pa.array(["C", "D"]))


BROKEN: list[tuple[str, bytes | str, str]] = [
    (CSV, "", "has no header"),
    (CSV, "name,gender\nA\n", r"line 2 of the CSV has 1 cells, its header 2"),
    (CSV, "name,gender\nA,B,C\n", r"line 2 of the CSV has 3 cells"),
    (CSV, 'name,gender\n"A,B\nC,D\n', "not CSV in UTF-8: unexpected end of data"),
    (CSV, 'name\n"A"B\n', "not CSV in UTF-8: ',' expected after '\"'"),
    (CSV, b"name\n\xff\n", "not CSV in UTF-8: .*byte 0xff"),
    (CSV, "name,name\nA,B\n", "column name twice"),
    (CSV, "shoe\n44\n", "No column of the table is known to the model: .*name, universe"),
    (CSV, '{"inputs": [{"name": "A"}]}', "No column of the table"),
    (CSV, "name,height\nA,tall\n", "Record 0: the field height must be a number"),
    (CSV, "name,height\nA,True\n", "height must be a number or null; got a Boolean"),
    (PARQUET, b"", "The body is not Parquet"),
    (PARQUET, b"PAR1" + bytes(20) + b"PAR1", "The body is not Parquet"),
    (PARQUET, parquet(FRAME)[:-20] + b"PAR1", "The body is not Parquet"),
    (PARQUET, parquet(twice(FRAME)), "column name twice"),
    (PARQUET, parquet(FRAME[["shoe"]]), "No column of the table"),
    (PARQUET, parquet(FRAME.assign(universe=[["a"], []])), "column universe .* type list<"),
    (PARQUET, parquet(FRAME.assign(universe=[b"a", b"\xff"])), "universe .* type binary"),
    (PARQUET, parquet(FRAME.assign(height=[True, False])), "height .* got a Boolean"),
    (PARQUET, parquet(FRAME.assign(name=[1, 2])), "name must be text or null; got a number"),
]


@pytest.mark.parametrize(("media_type", "body", "message"), BROKEN, ids=lambda v: repr(v)[:40])
def test_broken_table_gets_400_that_names_the_cause(
    endpoint: InProcess, media_type: str, body: bytes | str, message: str
) -> None:
    answer = send(endpoint, media_type, body)
    status, _, text = answer.error
    assert status == 400
    assert re.search(message, text), text
    row = endpoint.rows()[-1]
    assert (row["status_code"], row["response"]) == (400, answer.body.decode())
    if "The body is not Parquet" in text:  # no text
        assert row["request"] is None


@at_most(60)
@given(st.data())
def test_any_changed_table_gets_200_or_400(endpoint: InProcess, data: st.DataObject) -> None:
    media_type = data.draw(st.sampled_from([CSV, PARQUET]))
    body = bytearray(FRAME.to_csv().encode() if media_type == CSV else parquet(FRAME))
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    assert send(endpoint, media_type, bytes(body)).status in (200, 400, 413)


# --- limits ---


@pytest.fixture(scope="module")
def limited(registered: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    limits = {"body_bytes": 20_000, "records": 100}
    folder = tmp_path_factory.mktemp("limited")
    with started(deploy(describe(folder, limits=limits), registered)) as found:
        yield found


LONG = "x" * 1000
JSON_BODY = json.dumps({"inputs": [{"name": "A"}]}).encode()
BOMBS: dict[str, tuple[int, str, bytes, dict[str, str]]] = {
    "gzip": (
        413,
        "application/json",
        zipped(JSON_BODY.ljust(20_001)),
        {"content_encoding": "gzip"},
    ),
    "deflate": (
        413,
        "application/json",
        zlib.compress(b" " * 10_000_000),
        {"content_encoding": "deflate"},
    ),
    "compressed Parquet": (
        413,
        PARQUET,
        parquet(pd.DataFrame({"name": ["x" * 30_000]}), compression="zstd"),
        {},
    ),
    "common beginnings in Parquet": (
        413,
        PARQUET,
        plainly(pd.DataFrame({"name": [LONG] * 100}), "DELTA_BYTE_ARRAY"),
        {},
    ),
    "repeated text in Parquet": (413, PARQUET, parquet(pd.DataFrame({"name": [LONG] * 21})), {}),
    "rows of Parquet": (400, PARQUET, parquet(pd.DataFrame({"name": ["A"] * 101})), {}),
    "rows of CSV": (400, CSV, b"name\n" + b"A\n" * 101, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_limits_hold_for_what_a_body_becomes(limited: InProcess, name: str) -> None:
    status, media_type, body, headers = BOMBS[name]
    assert len(body) < 20_000
    answer = send(limited, media_type, body, **headers)
    code = "MAX_REQUEST_SIZE_EXCEEDED" if status == 413 else "INVALID_PARAMETER_VALUE"
    assert answer.error[:2] == (status, code)
    assert ("20,000 bytes decompressed" if status == 413 else "100 records") in answer.error[2]
    assert limited.app._worker_limits._reserved == 0


def test_footer_that_understates_is_refused_before_its_pages_are_read(endpoint: InProcess) -> None:
    body = forged(plainly(pd.DataFrame({"name": ["x" * 100_000_000]})))
    before = pa.default_memory_pool().max_memory()
    assert send(endpoint, PARQUET, body).status == 413
    assert pa.default_memory_pool().max_memory() == before


def test_bodies_within_the_limits_are_answered(limited: InProcess) -> None:
    for media_type, body, headers in (
        ("application/json", zipped(JSON_BODY.ljust(20_000)), {"content_encoding": "gzip"}),
        (PARQUET, parquet(pd.DataFrame({"name": [LONG] * 15})), {}),
        (CSV, b"name\n" + b"A\n" * 100, {}),
    ):
        assert send(limited, media_type, body, **headers).status == 200


# --- Content-Encoding ---

RAW = zlib.compress(JSON_BODY)[2:-4]
CODED: list[tuple[str, bytes]] = [
    ("gzip", zipped(JSON_BODY)), ("GZip", zipped(JSON_BODY)),
    ("x-gzip", zipped(JSON_BODY[:9]) + zipped(JSON_BODY[9:])),
    ("deflate", zlib.compress(JSON_BODY)), ("deflate", RAW),
    ("identity", JSON_BODY), ("", JSON_BODY), ("utf-8", JSON_BODY),
]  # fmt: skip


@pytest.mark.parametrize(("coding", "body"), CODED)
def test_compressed_body_is_scored_and_logged_as_sent(
    endpoint: InProcess, coding: str, body: bytes
) -> None:
    answer = send(endpoint, "application/json", body, content_encoding=coding)
    assert (answer.status, answer.json["predictions"]) == (200, scored(endpoint, [{"name": "A"}]))
    assert endpoint.rows()[-2]["request"] == JSON_BODY.decode()


@pytest.mark.parametrize("media_type", ["application/json", CSV])
@pytest.mark.parametrize("coding", ["", "gzip"])
def test_gzip_that_no_header_states_gets_400_that_names_the_header(
    endpoint: InProcess, media_type: str, coding: str
) -> None:
    body = zipped(JSON_BODY)
    sent = zipped(body) if coding else body
    status, _, text = send(endpoint, media_type, sent, content_encoding=coding).error
    assert (status, "Content-Encoding: gzip" in text) == (400, True)
    assert endpoint.rows()[-1]["request"] is None


def test_compressed_table_is_scored(endpoint: InProcess) -> None:
    body = zipped(FRAME.to_csv().encode())
    answer = send(endpoint, CSV, body, content_encoding="gzip")
    assert answer.json["predictions"] == scored(endpoint, RECORDS)


@pytest.mark.parametrize(
    ("coding", "body", "status", "message"),
    [
        ("br", b"\x0b\x02\x80{}\x03", 415, "Content-Encoding may be gzip or deflate; got br"),
        ("zstd", b"", 415, "Content-Encoding may be gzip or deflate; got zstd"),
        ("gzip, gzip", b"", 415, "got gzip, gzip"),
        ("gzip", JSON_BODY, 400, "Content-Encoding is gzip, but the body is not: Not a gzipped"),
        ("gzip", b"", 400, "but the body is not: it is empty"),
        ("gzip", zipped(JSON_BODY)[:-9], 400, "but the body is not: Compressed file ended"),
        ("deflate", JSON_BODY, 400, "Content-Encoding is deflate, but the body is not"),
        ("deflate", zlib.compress(JSON_BODY)[:-5], 400, "it ends too early"),
        ("gzip", zipped(b"{"), 400, "The body is not JSON"),
    ],
)
def test_other_coding_gets_an_error_that_names_the_header(
    endpoint: InProcess, coding: str, body: bytes, status: int, message: str
) -> None:
    answer = send(endpoint, "application/json", body, content_encoding=coding)
    assert answer.error[0] == status
    assert message in answer.error[2]
    assert answer.headers.get("accept-encoding") == ("gzip, deflate" if status == 415 else None)
    assert endpoint.rows()[-1]["request"] == ("{" if "JSON" in message else None)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_json_of_any_unicode_encoding_is_logged_in_utf_8(
    endpoint: InProcess, encoding: str
) -> None:
    assert endpoint.post(JSON_BODY.decode().encode(encoding)).status == 200
    assert endpoint.rows()[-1]["request"] == JSON_BODY.decode()
