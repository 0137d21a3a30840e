#!/usr/bin/env bash
# MLflow 3.17.2 with SQLAlchemy 2.1.9, and deltalake 1.6.6, in a folder `My%20Project`. SQLAlchemy decodes the path of
# sqlite:/// since 2.1, and MLflow makes the folder of the address without decoding it. So the plain path creates the
# database in `My Project`, a folder beside, and the encoded path creates it in the right folder and an empty
# `My%2520Project` beside: no address keeps both inside. deltalake writes a table there and then looks for its log in
# `My Project`.
# Seen: "plain: My Project, My%20Project", "encoded: My%20Project, My%2520Project", "deltalake: File not found".
# Fails if one of the three changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    mlflow==3.17.2 sqlalchemy==2.1.9 deltalake==1.6.6 pyarrow
cd "$work"
"$work/venv/bin/python" - <<'PYTHON' 2>/dev/null
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from mlflow import MlflowClient

seen = {}
for name, encode in {"plain": str, "encoded": quote}.items():
    home = Path(name).absolute()
    folder = home / "My%20Project"
    folder.mkdir(parents=True)
    MlflowClient(f"sqlite:///{encode(str(folder / 'mlflow.db'))}").search_experiments()
    seen[name] = sorted(path.name for path in home.iterdir()), [path.parent.name for path in home.rglob("mlflow.db")]
    print(f"{name}: {', '.join(seen[name][0])}; the database is in {seen[name][1]}")
assert seen["plain"] == (["My Project", "My%20Project"], ["My Project"])
assert seen["encoded"] == (["My%20Project", "My%2520Project"], ["My%20Project"])

table = Path("delta").absolute() / "My%20Project"
try:
    write_deltalake(str(table), pa.table({"id": [1]}))
    DeltaTable(str(table))
except Exception as error:
    print("deltalake:", str(error).replace(str(table.parent), ".."))
    assert "My Project" in str(error)
else:
    raise SystemExit("changed: deltalake reads a table in My%20Project")
PYTHON
