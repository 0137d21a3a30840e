#!/usr/bin/env bash
# deltalake 1.6.6: an overwrite of a whole table through a `DeltaTable` that was opened before another writer's append
# keeps the appended rows beside its own and reports no conflict, though a reader would expect either all old rows gone
# or an error. With a `predicate` the same overwrite is refused as a conflict: so replace rows with one, or open anew.
# Seen: rows [2, 3] after overwriting [1] by [3], 2 being the append; with a predicate CommitFailedError.
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
from deltalake.exceptions import CommitFailedError


def overwrite_after_append(folder, **options):
    write_deltalake(folder, pa.table({"x": [1]}))
    opened = DeltaTable(folder)
    write_deltalake(folder, pa.table({"x": [2]}), mode="append")
    write_deltalake(opened, pa.table({"x": [3]}), mode="overwrite", **options)
    return sorted(DeltaTable(folder).to_pyarrow_table()["x"].to_pylist())


whole = overwrite_after_append("whole")
print("whole table:", whole)
assert whole == [2, 3], "changed"
try:
    overwrite_after_append("part", predicate="x > 0")
except CommitFailedError as error:
    print("with a predicate:", str(error).splitlines()[0])
else:
    raise SystemExit("changed: no conflict with a predicate")
PYTHON
