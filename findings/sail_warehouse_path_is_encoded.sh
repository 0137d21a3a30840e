#!/usr/bin/env bash
# pysail 0.7.2: the LOCATION of a schema is percent-encoded when a table is written, so that a warehouse below a
# folder with a space, a `%` or a letter beyond a to z gets its tables in another folder beside it: `My Project`
# becomes `My%20Project`, and `My%20Project` becomes `My%2520Project`. Sail reads them back, so nothing fails until
# another program, such as deltalake, opens the folder that was named.
# Seen: one row by Sail; the table is in `My%20Project/t`, and `My Project` is empty.
# Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check pysail==0.7.2 "pyspark[connect]==4.1.4"
cd "$work"
RUST_LOG=error "$work/venv/bin/python" - <<'PYTHON'
from pathlib import Path

from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

named = Path("My Project").absolute()
named.mkdir()
server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
spark = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").getOrCreate()
spark.sql(f"CREATE SCHEMA s LOCATION '{named}'")
spark.sql("SELECT 1 AS x").write.format("delta").mode("overwrite").saveAsTable("s.t")
folders = sorted(str(log.parent.relative_to(named.parent)) for log in Path().absolute().rglob("_delta_log"))
print("rows by Sail:", spark.table("s.t").count(), "; tables in", folders, "; named folder has", list(named.iterdir()))
assert spark.table("s.t").count() == 1
assert folders == ["My%20Project/t"], "changed"
assert not list(named.iterdir())
spark.stop()
server.stop()
PYTHON
