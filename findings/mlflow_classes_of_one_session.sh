#!/usr/bin/env bash
# mlflow-skinny 3.17.2 with cloudpickle 3.1.2: two models that were saved from one session, the second after a global
# variable had changed, predict alike once both are loaded in one process: as the one that was loaded last. Each alone
# predicts as it was saved. cloudpickle gives a class one id per session; a process that has loaded the id keeps the
# class, and sets the methods of the newest pickle on it, with their globals. No file of code is involved.
# Seen: alone 0.11 and 0.99; together 0.11 before the second is loaded, then 0.99 and 0.99.
# Fails if any of this changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check mlflow-skinny==3.17.2 cloudpickle==3.1.2 \
  pandas==3.1.1
cd "$work"
cat > session.py <<'PYTHON'
from mlflow.pyfunc import PythonModel, save_model

LEVEL = 0.11


class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return LEVEL


save_model("first", python_model=Model(), pip_requirements=[])
LEVEL = 0.99
save_model("second", python_model=Model(), pip_requirements=[])
PYTHON
cat > load.py <<'PYTHON'
import sys

from mlflow.pyfunc import load_model

models, seen = [], []
for folder in sys.argv[1:]:
    models.append(load_model(folder))
    seen.append([model.predict([1]) for model in models])
print(seen)
PYTHON
export PYTHONWARNINGS=ignore
"$work/venv/bin/python" session.py 2> /dev/null
first=$("$work/venv/bin/python" load.py first 2> /dev/null)
second=$("$work/venv/bin/python" load.py second 2> /dev/null)
both=$("$work/venv/bin/python" load.py first second 2> /dev/null)
echo "alone: $first and $second; together: $both"
test "$first" = "[[0.11]]"
test "$second" = "[[0.99]]"
test "$both" = "[[0.11], [0.99, 0.99]]"
