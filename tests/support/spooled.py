"""Entries for tests of the spool and the inference table."""

import subprocess
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from marvel_kedro.serving.configuration import InferenceTableOptions
from marvel_kedro.serving.inference_table.spool import Entry, Spool
from marvel_kedro.serving.inference_table.spool_batches import parse_lines

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # lone surrogates too

ENTRIES = st.builds(
    Entry,
    databricks_request_id=ANY_TEXT,
    client_request_id=st.none() | ANY_TEXT,
    request_time=st.integers(0, 4 * 10**15),
    status_code=st.integers(100, 599),
    execution_duration_ms=st.integers(0, 2**40),
    request=st.none() | st.binary() | ANY_TEXT.map(lambda text: text.encode(errors="replace")),
    response=st.none() | st.binary(),
    served_entity_id=st.none() | ANY_TEXT,
    requester=st.none() | ANY_TEXT,
)


def entry(name: str = "a", **values: Any) -> Entry:
    known: dict[str, Any] = {
        "databricks_request_id": name,
        "client_request_id": None,
        "request_time": time.time_ns() // 1000,
        "status_code": 200,
        "execution_duration_ms": 1,
        "request": b'{"inputs": []}',
        "response": b'{"predictions": []}',
    }
    return Entry(**known | values)


def spool_in(folder: Path, spool_bytes: int = 10**9, **options: Any) -> Spool:
    return Spool(folder, InferenceTableOptions(**options), spool_bytes)


def lines_in(folder: Path) -> pa.Table:
    """Return the rows in the files of a spool, in the order they were written."""
    table, damaged = parse_lines(b"".join(path.read_bytes() for path in sorted(folder.glob("*.*"))))
    assert not damaged
    return table


def expected(item: Entry, fraction: float = 1.0) -> dict[str, Any]:
    """Return the row of an entry without its times; no body is too long."""
    return {
        "databricks_request_id": valid(item.databricks_request_id),
        "client_request_id": valid(item.client_request_id),
        "status_code": item.status_code,
        "sampling_fraction": fraction,
        "execution_duration_ms": item.execution_duration_ms,
        "request": None if item.request is None else item.request.decode(errors="replace"),
        "response": None if item.response is None else item.response.decode(errors="replace"),
        "logging_error_codes": [],
        "served_entity_id": valid(item.served_entity_id),
        "requester": valid(item.requester),
    }


def valid(text: str | None) -> str | None:
    return None if text is None else text.encode(errors="replace").decode()


def mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0
