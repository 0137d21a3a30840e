#!/usr/bin/env bash
# pysail 0.7.2: a Delta table with a LOCATION that has a space or a letter outside of ASCII is written to another
# folder, whose name is percent-encoded: `a b` becomes `a%20b`, `ü` becomes `%C3%BC`. Sail itself reads it from there,
# so that nothing is noticed until another program (or a backup) looks into the folder that was named, which stays
# empty. `;`, `'`, `+` and `=` are kept.
# Seen: the log of the table of `a b` in `a%20b`, that of `a;b` in `a;b`.
# Fails if a table is written where its location says.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    pysail==0.7.2 "pyspark[connect]==4.1.4" "setuptools<82"
cd "$work"
"$work/venv/bin/python" - <<'PYTHON' 2>/dev/null
from pathlib import Path

from pysail.spark import SparkConnectServer
from pyspark.sql import SparkSession

server = SparkConnectServer("127.0.0.1", 0)
server.start(background=True)
spark = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").getOrCreate()
spark.sql("CREATE DATABASE d")
logs = {}
for number, name in enumerate(["a b", "ü", "a;b"]):
    home = Path(str(number)).absolute()
    (home / name).mkdir(parents=True)
    spark.sql(f"CREATE TABLE d.t{number} (a STRING) USING delta LOCATION '{home / name / 'table'}'")
    spark.createDataFrame([("x",)], "a STRING").write.mode("append").saveAsTable(f"d.t{number}")
    assert spark.table(f"d.t{number}").count() == 1
    (logs[name],) = (str(log.parents[1].relative_to(home)) for log in home.rglob("_delta_log"))
    print(f"the table of {name!r} is in {logs[name]!r}")
assert logs == {"a b": "a%20b", "ü": "%C3%BC", "a;b": "a;b"}, logs
spark.stop()
server.stop()
PYTHON
