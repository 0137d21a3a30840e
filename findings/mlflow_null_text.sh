#!/usr/bin/env bash
# mlflow-skinny 3.17.2 with pandas 3.1.1: what a model gets for a null or NaN in a text column (string, optional)
# depends on the form of the request to MLflow's scoring server. In `dataframe_records` and `dataframe_split` it is
# missing. In `instances` and `inputs` it is the text "None", or "nan", an ordinary category to a model. A record
# given to `predict` of the loaded model whose text is NaN is rejected, where the server accepts the same record.
# A dictionary of lists of text given to `predict` becomes one record with a list in each column, where a list with
# a null in it becomes one record per value.
# Fails if any of this changes.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check mlflow-skinny==3.17.2 pandas==3.1.1
cd "$work"
cat > model.py <<'PYTHON'
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return [repr(value) for value in model_input["text"].astype(object)]


set_model(Model())
PYTHON
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import json
import logging

import mlflow
from mlflow.models import ModelSignature
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, Schema

logging.disable(logging.WARNING)
schema = Schema([ColSpec("string", "text", required=False)])
mlflow.pyfunc.save_model(
    "saved", python_model="model.py", signature=ModelSignature(inputs=schema), pip_requirements=["mlflow-skinny"]
)
model = mlflow.pyfunc.load_model("saved")
MISSING = ("None", "nan", "<NA>")
for gap, text in ((None, "'None'"), (float("nan"), "'nan'")):
    records, columns = [{"text": "a"}, {"text": gap}], {"text": ["a", gap]}
    bodies = {
        "dataframe_records": records,
        "dataframe_split": {"columns": ["text"], "data": [["a"], [gap]]},
        "instances": records,
        "inputs": columns,
    }
    for form, value in bodies.items():
        answer = scoring_server.invocations(json.dumps({form: value}), "application/json", model, schema)
        _, got = json.loads(answer.response)["predictions"]
        got = got.replace("np.str_(", "").rstrip(")")
        print(f"{gap} in {form}: the model gets {got}")
        assert got in (MISSING if form.startswith("dataframe") else (text,)), got
try:
    model.predict([{"text": float("nan")}])
except mlflow.MlflowException as error:
    print("predict, a record with NaN:", str(error)[-70:])
else:
    raise SystemExit("changed: predict accepts a record with NaN")
for given in ({"text": ["a", "b"]}, {"text": ["a", None]}):
    print(f"predict({given}):", len(model.predict(given)), "records")
assert len(model.predict({"text": ["a", "b"]})) == 1
assert len(model.predict({"text": ["a", None]})) == 2
PYTHON
