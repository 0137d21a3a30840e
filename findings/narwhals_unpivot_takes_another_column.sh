#!/usr/bin/env bash
# narwhals 2.29.0 with duckdb 2.0.1: `unpivot` of a lazy DuckDB frame returns the wrong values, without an error, if
# the frame has another column whose name is `value_name`. That column is neither in `on` nor in `index`, so it
# should not be in the result at all; but its values are, in place of those of the columns that were unpivoted. So a
# library that unpivots columns of a user's table into `value` is right until a table has a column `value`. After a
# selection of the columns of `on` and `index` the result is right. polars, by narwhals too, raises DuplicateError.
# Seen: [{'key': 'k', 'column': 'plan', 'value': 7.5}]; then 'value': 'basic'.
# Fails if either behaviour changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  narwhals==2.29.0 duckdb==2.0.1 pyarrow==25.0.1
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import duckdb
import narwhals as nw
import pyarrow as pa

table = pa.table({"key": ["k"], "plan": ["basic"], "value": [7.5]})
frame = nw.from_native(duckdb.from_arrow(table))


def unpivoted(some):
    found = some.unpivot(on=["plan"], index=["key"], variable_name="column", value_name="value")
    return found.collect("pyarrow").to_native().to_pylist()


print("with a column `value`:", unpivoted(frame))
assert unpivoted(frame) == [{"key": "k", "column": "plan", "value": 7.5}], "changed"
print("without:", unpivoted(frame.select("key", "plan")))
assert unpivoted(frame.select("key", "plan")) == [{"key": "k", "column": "plan", "value": "basic"}]
PYTHON
