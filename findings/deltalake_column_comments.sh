#!/usr/bin/env bash
# deltalake 1.6.6 with pyarrow 25.0.1: rows whose Arrow fields carry another `comment` than the columns of the
# table are refused on append, although comments are no part of the data. Rows without any field metadata are
# appended, and the table keeps its comments. So a program that rewords a comment can no longer append to the tables
# that its previous release created, unless it leaves the metadata out of the rows.
# Seen: SchemaMismatchError "Cannot merge metadata with different values for key comment"; then 2 rows.
# Fails if either behaviour changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check deltalake==1.6.6 pyarrow==25.0.1
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import SchemaMismatchError


def rows(value, comment):
    metadata = {"comment": comment} if comment else None
    return pa.table({"id": [value]}, schema=pa.schema([pa.field("id", pa.string(), metadata=metadata)]))


DeltaTable.create("table", rows("a", "Old text").schema)
write_deltalake("table", rows("a", "Old text"), mode="append")
try:
    write_deltalake("table", rows("b", "New text"), mode="append")
except SchemaMismatchError as error:
    print("another comment:", error)
    assert "different values for key comment" in str(error)
else:
    raise SystemExit("changed: rows with another comment are appended")
write_deltalake("table", rows("b", None), mode="append")
table = DeltaTable("table")
print("without metadata:", table.to_pyarrow_table().num_rows, "rows, comment", table.schema().fields[0].metadata)
assert table.to_pyarrow_table().num_rows == 2
assert table.schema().fields[0].metadata == {"comment": "Old text"}
PYTHON
