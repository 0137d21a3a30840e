"""Redaction of named fields, in every form of a request."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.spooled import entry, lines_in, spool_in

from marvel_kedro.serving.inference_table.redaction import redact

REDACTED: list[tuple[Any, Any]] = [
    (
        {"dataframe_records": [{"name": "s", "origin": "Human"}, {"name": None}]},
        {"dataframe_records": [{"name": "***", "origin": "Human"}, {"name": "***"}]},
    ),
    (
        {"dataframe_split": {"columns": ["origin", "name"], "data": [["Human", "s"], ["x", 1]]}},
        {"dataframe_split": {"columns": ["origin", "name"],
                             "data": [["Human", "***"], ["x", "***"]]}},
    ),
    ({"dataframe_split": {"data": [["Human", "s"]]}}, {"dataframe_split": {"data": ["***"]}}),
    (
        {"dataframe_split": {"columns": ["name"], "data": [["s", "s"], "s"]}},
        {"dataframe_split": {"columns": ["name"], "data": ["***", "***"]}},
    ),
    ({"instances": [{"name": "s", "a": 1}]}, {"instances": [{"name": "***", "a": 1}]}),
    ({"instances": [["s", 1]]}, {"instances": ["***"]}),
    ({"instances": "s"}, {"instances": "***"}),
    ({"inputs": {"name": ["s", "s"], "a": [1]}}, {"inputs": {"name": ["***", "***"], "a": [1]}}),
    ({"inputs": {"name": "s", "a": 1}}, {"inputs": {"name": "***", "a": 1}}),
    ({"params": {"deep": [{"name": {"of": "s"}}]}}, {"params": {"deep": [{"name": "***"}]}}),
    ({"client_request_id": "s", "inputs": []}, {"client_request_id": "***", "inputs": []}),
    (
        {"inputs": {"name": ["s"], "height": [float("nan")]}},
        {"inputs": {"name": ["***"], "height": [None]}},
    ),
    (["s"], "***"),
    ("s", "***"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "written"), REDACTED)
def test_redact_replaces_named_fields_in_every_form(
    body: Any, written: Any, tmp_path: Path
) -> None:
    spool = spool_in(tmp_path, redact=("name", "client_request_id"))
    spool.write(entry(request=json.dumps(body).encode(), client_request_id="s"))
    (row,) = lines_in(tmp_path).to_pylist()
    assert json.loads(row["request"]) == written
    assert row["client_request_id"] == "***"


@pytest.mark.parametrize("body", [b"", b"{", b"name=s", b"\xff", b"[" * 5000, b'{"a":' * 900])
def test_redact_replaces_unreadable_body_as_a_whole(body: bytes, tmp_path: Path) -> None:
    spool = spool_in(tmp_path, redact=("name",))
    spool.write(entry(request=body))
    spool.write(entry(request=None))
    assert lines_in(tmp_path)["request"].to_pylist() == ['"***"', None]


KEYS = st.sampled_from(["name", "origin", "data", "columns", "inputs", "dataframe_split", "deep"])
JSON = st.recursive(
    st.just("plain") | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)


@given(st.recursive(
    st.dictionaries(KEYS, JSON, max_size=3).map(lambda body: body | {"name": "SECRET"}),
    lambda inner: st.dictionaries(KEYS.filter("name".__ne__), inner, min_size=1, max_size=2)
    | st.lists(inner, min_size=1, max_size=2).map(lambda items: {"inputs": items}),
))  # fmt: skip
def test_redact_replaces_nested_values(body: Any) -> None:
    assert b"SECRET" not in redact(json.dumps(body).encode(), frozenset({"name"}))
