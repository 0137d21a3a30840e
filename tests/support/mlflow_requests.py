"""Requests for MLflow's server and this one, by the line of docs/serving.md that each one shows.

Both servers answer `SAME_FOR_BOTH` alike.
"""

import decimal
import gzip
import io
import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

JSON, CSV, PARQUET = "application/json", "text/csv", "application/vnd.apache.parquet"
INVOCATIONS = "/invocations"


@dataclass(frozen=True)
class Sent:
    """A request."""

    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    path: str = INVOCATIONS

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.headers} {self.body[:150]!r}"


def posted(*values: Any) -> list[Sent]:
    """Return bodies of JSON."""
    return [
        Sent(
            value if isinstance(value, bytes) else json.dumps(value).encode(),
            {"Content-Type": JSON},
        )
        for value in values
    ]


def records(*values: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"dataframe_records": list(values)} | more


def split(columns: list[Any], *rows: Any, **more: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": columns, "data": list(rows)} | more}


def csv(*bodies: str | bytes) -> list[Sent]:
    encoded = [body.encode() if isinstance(body, str) else body for body in bodies]
    return [Sent(body, {"Content-Type": CSV}) for body in encoded]


def parquet(*frames: pd.DataFrame | bytes, **options: Any) -> list[Sent]:
    bodies = []
    for frame in frames:
        file = io.BytesIO()
        if isinstance(frame, bytes):
            file.write(frame)
        else:
            pq.write_table(pa.Table.from_pandas(frame), file, **options)
        bodies.append(file.getvalue())
    return [Sent(body, {"Content-Type": PARQUET}) for body in bodies]


def typed(*content_types: str, body: bytes | None = None) -> list[Sent]:
    return [Sent(PLAIN if body is None else body, {"Content-Type": one}) for one in content_types]


def coded(coding: str, body: bytes, content_type: str = JSON) -> Sent:
    return Sent(body, {"Content-Type": content_type, "Content-Encoding": coding})


def asked(method: str, *paths: str, body: bytes = b"") -> list[Sent]:
    return [Sent(body, {"Content-Type": JSON}, method, path) for path in paths]


R: dict[str, Any] = {"name": "A", "universe": "Earth-616", "gender": "Female", "height": 1.78}
NAMES, VALUES = list(R), list(R.values())
PLAIN = json.dumps(records(R)).encode()
FRAME: Any = pd.DataFrame([R, {"name": "B"}])
TABLE = FRAME.to_csv()
KNOWN = {"name": "A"}

SAME_FOR_BOTH: list[Sent] = [
    *posted(
        # forms
        records(R), split(NAMES, VALUES), {"instances": [R]}, {"inputs": [R]},
        {"inputs": {name: [value] * 2 for name, value in R.items()}},
        {"instances": {"name": ["A"]}}, {"inputs": {"name": [], "gender": "Male"}},
        {"inputs": {"name": "A", "height": 1.7}}, {"inputs": {"name": ["A", "B"], "height": 1.7}},
        {"instances": {"gender": ["Male", "Female"], "height": 1.7, "universe": "Earth-616"}},
        {"inputs": {"name": []}}, {"inputs": {"name": ["A", "B"], "height": [1.7]}},
        records(R, {}), records({"height": "1.8"}, {"height": None}, {"height": "nan"}),
        records({"height": " 1_8 "}, {"height": "1e400"}),
        records({"gender": None}, {"gender": ""}),
        split(["name"], ["a"], index=[5]), split(["name"], ["a"], index=None), split(["name"]),
        split(["name"], ["a"], ["b"], index=[5]), split(["name"], ["a"], index=3),
        # missing values
        records({"gender": float("nan")}, {"gender": "Male"}), records({"gender": float("nan")}),
        records({"gender": "None"}), records({"gender": "<NA>"}), records({"height": float("inf")}),
        {"inputs": {"gender": ["Male", None]}}, {"inputs": [{"gender": "Male"}, {"gender": None}]},
        {"instances": [{"gender": "Male"}, {"gender": None}]}, {"inputs": {"gender": [None, None]}},
        {"inputs": {"height": [1.7, None]}}, {"inputs": {"gender": ["Male", float("nan")]}},
        {"instances": [{"gender": float("nan")}]}, {"inputs": {"name": ["A", "B"], "gender": None}},
        # more than records
        records({"name": None, "shoe": [1]}, params={"a": 1}, other=1), records(R, params=None),
        {"instances": [R], "client_request_id": "x"}, {"inputs": [R], "signature_name": "s"},
        b"\xef\xbb\xbf" + PLAIN, PLAIN.decode().encode("utf-16"),
        b'{"inputs": [{"name": "A"}], "inputs": [{"name": "B"}, {"name": "C"}]}',
        # invalid
        b"", b"{", b"{'inputs': [{'name': 'A'}]}", PLAIN + b" x", b'{"inputs": "\xff"}', {}, [],
        "x", None, 1, {"columns": ["name"], "data": [["a"]]}, {"messages": []},
        {"inputs": [R], **records(R)},
        {"dataframe_records": R}, {"dataframe_records": None}, {"dataframe_records": "[]"},
        records({}), records({"shoe": 44}), records({"Name": "A"}), {"dataframe_records": [1]},
        {"dataframe_records": [[1, 2]]}, {"dataframe_records": [R, None]}, {"dataframe_split": []},
        {"dataframe_split": {"data": [["a"]]}}, {"dataframe_split": {"columns": ["name"]}},
        {"dataframe_split": {"columns": "name", "data": [["a"]]}}, split(["name"], ["a", "b"]),
        split(["name", "name"], ["a", "b"]), split(["name"], ["a"], x=1), split([], []),
        records({"height": "tall"}), records({"height": ""}), records({"height": [1]}),
        records({"height": {}}), {"inputs": "A"}, {"inputs": None}, {"inputs": [1, 2]},
        {"inputs": [["A", 1.7]]}, {"instances": "a"}, records({"gender": ["Male"]}),
        records({"gender": {}}), {"inputs": {"gender": [["Male"], ["Female"]]}},
        {"instances": [{"gender": ["Male"]}]}, split(["gender"], [[["Male"]]]),
    ),
    *csv(
        TABLE, "name,height\r\nA,1.8\r\n", 'gender\nMale\n\n""\n', "name,height\n",
        "\ufeffgender\nMale\n",
        'gender,height\nNA,NA\n,\n"NA",null\n', "gender\nNone\nn/a\n#N/A\n<NA>\nnan\nNULL\n",
        "universe\n616\n007\nTrue\n", "height\n5\n 1.5 \n1e400\ninf\n", "gender\n Male \n",
        "", "\n", "shoe\n44\n", "shoe\n", "name,height\nA,tall\n", 'name,height\nA,"1,80"\n',
        "name,height\nA,1\nB,2,3\n", 'name,height\n"A,1\nB,2\n', b"name\n\xff\n",
        "name;gender\nA;Male\n", " name\nA\n", PLAIN, f"origin\n{'x' * 200_000}\n",
    ),
    *posted(
        records({"gender": True}, {"gender": False}), split(["gender"], [True], [False]),
        {"inputs": {"gender": [True, False]}}, {"instances": [{"gender": True}]},
        records({"gender": True}, {"gender": None}, {"gender": "Male"}),
    ),
    *csv("gender,height\nTrue,1\nfalse,2\n"),
    *parquet(FRAME, FRAME.head(0), FRAME.assign(height=[decimal.Decimal("1.78"), None]),
             FRAME.assign(gender=[None, None]), FRAME.assign(gender=["", "<NA>"]),
             FRAME.assign(shoe=[[1], [2]]), FRAME.astype({"height": "float32"})),
    *parquet(FRAME, compression="zstd"),
    *parquet(b"", b"PAR1PAR1", FRAME[["universe"]].rename(columns={"universe": "shoe"}),
             FRAME.assign(gender=[1, 2]), FRAME.assign(gender=[1.5, None]),
             FRAME.assign(gender=[["a"], []]), FRAME.assign(gender=[b"Male", None]),
             FRAME.assign(height=[True, False]), FRAME.assign(gender=pd.to_datetime(["2020"] * 2))),
    *typed("application/json; charset=utf-8", "application/json ; charset=UTF-8"),
    *typed("text/csv;charset=utf-8", body=b"gender\nMale\n"),
    coded("identity", PLAIN), coded("", PLAIN), coded("utf-8", PLAIN),
    *asked("POST", f"{INVOCATIONS}?a=b", body=PLAIN),
    *asked("GET", "/docs", "/openapi.json"),
]  # fmt: skip

DIFFERENT: dict[str, list[Sent]] = {
    "a number in a text field": posted(records({"gender": 5}), {"inputs": {"gender": [1.5]}}),
    "a Boolean in a number field": [
        *posted(records({"height": True}), {"inputs": {"height": [False]}}),
        *csv("name,height\nA,True\n"),
    ],
    "an integer of more than 300 digits": posted(records({"height": 10**400})),
    "half a surrogate pair, in `inputs` and `instances`": posted(
        b'{"inputs": [{"name": "\\ud800"}]}', b'{"instances": [{"name": "\\ud800"}]}'
    ),
    "no records and no columns": posted(
        records(), {"instances": []}, {"inputs": []}, {"inputs": {}}, split([])
    ),
    "rows of `dataframe_split` that are short or no lists": posted(
        split(["name", "gender"], ["a", "Male"], ["b"]), split(["name"], "a"), split(["name"], None)
    ),
    "column names that are not text": posted(split(["name", 1], ["a", "b"])),
    "an `index` that is longer than `data`, or empty": posted(
        split(["name"], ["a"], index=[5, 6]), split(["name"], ["a"], index=[])
    ),
    "an `index` of lists": posted(split(["name"], ["a"], ["b"], index=[[1], [2]])),
    "`instances` whose records have different fields": posted(
        {"instances": [{"name": "A"}, {"height": 1.0}]}
    ),
    "`params` that is no object": posted(records(R, params=[1]), records(R, params="x")),
    "a `client_request_id` that is no text, or longer than 256 characters": posted(
        records(R, client_request_id=5), records(R, client_request_id="x" * 257)
    ),
    "a record that has only its key": [
        *posted(records({"page_id": "{page_id}"})), *csv("page_id\n{page_id}\n")
    ],
    "JSON that is nested too deeply": posted(b"[" * 100_000),
    "more than `limits.records`, or than `limits.body_bytes`": [
        *posted(records(*[KNOWN] * 51), records(R) | {"other": "x" * 300_000}),
        *csv("name\n" + "A\n" * 51),
        *parquet(pd.DataFrame({"name": ["A"] * 51}), pd.DataFrame({"name": ["x" * 300_000]})),
    ],
    "CSV: rows that are shorter or longer than the header": csv(
        "name,height\nA\n", "name,height\nA,1,2\n", "gender,height\nMale,1,\n"
    ),
    "CSV: a column twice": csv("name,name\nA,B\n"),
    "CSV: text behind a closing quote": csv('name\n"A"B\n'),
    "CSV: digits parted by `_`": csv("height\n1_8\n"),
    "Parquet: integers or text in a number column, categories": parquet(
        FRAME.assign(height=[1, 2]), FRAME.assign(height=["1.8", None]),
        FRAME.astype({"gender": "category"}),
    ),
    "Parquet: Booleans in a text column": parquet(FRAME.assign(gender=[True, False])),
    "Parquet: an index with the name of a field": parquet(
        FRAME.assign(gender=["Female", "Male"], universe="Earth-616").set_index("universe")
    ),
    "no `Content-Type`": [Sent(PLAIN)],
    "a `Content-Type` in upper case, with a last `;`, `header=present` or ASCII": [
        *typed("Application/JSON", 'application/json; charset="utf-8"', "application/json;",
               "application/json; charset=utf8", "application/json; charset=us-ascii"),
        *typed("TEXT/CSV", "text/csv; header=present", body=b"gender\nMale\n"),
    ],
    "another `Content-Type` or `charset`": typed(
        "text/plain", "application/x-www-form-urlencoded", "text/json", "application/octet-stream",
        "application/csv", "application/parquet", "", "application/json; charset=latin-1",
        "application/json; format=pandas-split", "text/csv; charset=utf-16",
    ),
    "`Content-Encoding: gzip` or `deflate`": [
        coded("gzip", gzip.compress(PLAIN)), coded("x-gzip", gzip.compress(PLAIN)),
        coded("deflate", zlib.compress(PLAIN)), coded("deflate", zlib.compress(PLAIN)[2:-4]),
        coded("gzip", gzip.compress(b"gender\nMale\n"), CSV),
    ],
    "the same over a body that is not compressed": [coded("gzip", PLAIN), coded("deflate", PLAIN)],
    "another `Content-Encoding`": [
        coded("br", PLAIN), coded("zstd", b"\x28\xb5\x2f\xfd"),
        coded("gzip, gzip", gzip.compress(gzip.compress(PLAIN))),
    ],
    "`/invocations/`": asked("POST", "/invocations/", body=PLAIN),
    "`/ping/`, `/health/`, `/version/`": asked("GET", "/ping/", "/health/", "/version/"),
    "`/serving-endpoints/<endpoint>/invocations`": asked(
        "POST", "/serving-endpoints/marvel/invocations",
        "/serving-endpoints/marvel/invocations/", body=PLAIN
    ),
    "`/`, `/metrics`": asked("GET", "/", "/metrics"),
    "`/redoc`": asked("GET", "/redoc"),
    "`HEAD` of a page": asked("HEAD", "/ping", "/health", "/version"),
    "another path": asked("POST", "/nowhere", "//invocations", "/v2/models/marvel/infer"),
    "another method": [
        *asked("GET", INVOCATIONS), *asked("PUT", INVOCATIONS, body=PLAIN),
        *asked("OPTIONS", INVOCATIONS), *asked("POST", "/ping", "/version"),
    ],
    "the body of `/ping` and `/health`": asked("GET", "/ping", "/health"),
    "the body of `/version`": asked("GET", "/version"),
}  # fmt: skip
