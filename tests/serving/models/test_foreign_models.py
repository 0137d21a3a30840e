"""Models that this project has not made are served as MLflow's own server serves them."""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import ModelSignature
from mlflow.pyfunc import scoring_server
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property
from sklearn.linear_model import LogisticRegression
from support.in_process import BODY, Answer, InProcess, answer_of, deploy, started
from support.running_server import MODEL, Store, describe

from marvel_kedro.serving.models.deployment import Deployed, Deployment

FEW = {"records": 3}

ECHO = """
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Model(PythonModel):
    def predict(self, context, model_input, params=None):
        return {result}


set_model(Model())
"""
# One row per record: the values as the model gets them.
ROWS = "[repr(row) for row in model_input.astype(object).to_numpy().tolist()]"

any_type: Any = AnyType
VALUES: dict[str, tuple[Any, Any]] = {
    "long": (DataType.long, 2**40),
    "integer": (DataType.integer, 7),
    "float": (DataType.float, 0.1),
    "double": (DataType.double, 0.1),
    "boolean": (DataType.boolean, True),
    "string": (DataType.string, "text"),
    "binary": (DataType.binary, "YWJj"),
    "datetime": (DataType.datetime, "2026-01-31T23:59:59"),
    "array": (Array(DataType.long), [1, 2]),
    "object": (Object([Property("a", DataType.string)]), {"a": "b"}),
    "map": (Map(DataType.double), {"a": 0.5}),
    "any": (any_type(), [1, "a", None]),
}
NONE = ["mlflow"]  # else MLflow spends seconds to find out which packages a model needs
NUMBERS = {"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 1.0, 2.0, 3.0]}


def echo(folder: Path, result: str = ROWS, signature: ModelSignature | None = None) -> Path:
    """Save a model whose `predict` returns a Python expression."""
    code = folder / "model.py"
    folder.mkdir(parents=True, exist_ok=True)
    code.write_text(ECHO.format(result=result))
    mlflow.pyfunc.save_model(
        folder / "model", python_model=str(code), signature=signature, pip_requirements=NONE
    )
    return folder / "model"


class Both:
    """A model in this project's server and in MLflow's, both in this process."""

    def __init__(self, files: Path, ours: InProcess) -> None:
        self.ours = ours
        self._app: Any = scoring_server.init(mlflow.pyfunc.load_model(str(files)))

    def mlflow(self, body: bytes, media_type: str = "application/json") -> Answer:
        async def call() -> Answer:
            messages: list[Any] = []
            sent = [{"type": "http.request", "body": body, "more_body": False}]

            async def receive() -> Any:
                return sent.pop() if sent else {"type": "http.disconnect"}

            async def send(message: Any) -> None:
                messages.append(message)

            scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b""}
            await self._app(
                scope | {"headers": [(b"content-type", media_type.encode())]}, receive, send
            )
            return answer_of(messages)

        return self.ours.loop.run_until_complete(call())

    def check(self, body: Any) -> Any:
        """Compare both answers; return the predictions, None for a rejected body."""
        sent = json.dumps(body).encode()
        theirs, ours = self.mlflow(sent), self.ours.post(sent)
        assert ours.status == theirs.status, (ours.body, theirs.body)
        if ours.status != 200:
            assert ours.error[1] == theirs.json["error_code"]
            cause = re.fullmatch(r"The model failed \((\w+: .*)\)", ours.error[2], re.DOTALL)
            assert (cause[1] if cause else ours.error[2]) in theirs.body.decode("unicode-escape")
            return None
        assert ours.json == theirs.json
        return ours.json["predictions"]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Both]]:
    """Serve the files of a model."""
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # `init` sets it for good
    running: list[Any] = []

    def start(files: Path, **options: Any) -> Both:
        configuration = describe(tmp_path / "server", **options)
        models = configuration.server.models
        models.mkdir(parents=True)
        (models / "1-0").symlink_to(files)
        entity = Deployed(name="champion", model=MODEL, version="1", folder="1-0")
        Deployment(endpoint="marvel", entities=(entity,), traffic={"champion": 100}).write(models)
        running.append(started(configuration))
        return Both(files, running[-1].__enter__())

    yield start
    for each in running:
        each.__exit__(None, None, None)


@pytest.mark.parametrize("kind", VALUES)
def test_every_type_is_served_as_by_mlflow(
    serve: Callable[..., Both], tmp_path: Path, kind: str
) -> None:
    """In every form, required or not, with a null and with a value of another type."""
    of_type, value = VALUES[kind]
    columns: list[Any] = [
        ColSpec(DataType.string, "key"),
        ColSpec(of_type, "x"),
        ColSpec(of_type, "y", False),
    ]
    both = serve(echo(tmp_path, signature=ModelSignature(inputs=Schema(columns))))
    answered = both.check({"dataframe_records": [{"key": "k", "x": value, "y": value}] * 2})
    assert len(answered) == 2
    both.check({"dataframe_records": [{"key": "k", "x": value}]})
    for x, y in ((value, value), (value, None), (None, value), ("?", value), (value, [])):
        record: dict[str, Any] = {"key": "k", "x": x, "y": y}
        bodies: list[Any] = [
            {"dataframe_records": [record] * 2},
            {"dataframe_split": {"columns": list(record), "data": [list(record.values())]}},
            {"instances": [record]},
            {"inputs": [record]},
            {"inputs": {name: [item] for name, item in record.items()}},
        ]
        for body in bodies:
            both.check(body)
    assert both.check({"dataframe_records": [{"key": "k"}]}) is None


@pytest.mark.parametrize("labels", [["no", "yes"] * 2, [0, 1] * 2, [False, True] * 2], ids=str)
@pytest.mark.parametrize("signed", [True, False], ids=["signature", "no signature"])
def test_classifier_of_scikit_learn_is_served(
    serve: Callable[..., Both], tmp_path: Path, labels: list[Any], signed: bool
) -> None:
    rows = pd.DataFrame(NUMBERS)
    classifier = LogisticRegression().fit(rows, labels)
    signature = mlflow.models.infer_signature(rows, classifier.predict(rows)) if signed else None
    example = rows.head(1) if signed else None
    mlflow.sklearn.save_model(
        classifier,
        tmp_path / "m",
        signature=signature,
        input_example=example,
        pip_requirements=NONE,
    )
    both = serve(tmp_path / "m")
    assert both.check({"dataframe_records": rows.to_dict("records")}) == [
        *classifier.predict(rows).tolist()
    ]
    bodies: list[Any] = [
        {"dataframe_split": rows.to_dict("split")},
        {"inputs": NUMBERS},
        {"instances": rows.to_dict("records")},
        {"inputs": rows.to_numpy().tolist()},
        {"dataframe_records": [{"a": 1.0}]},
        {"dataframe_records": [{"a": 1.0, "b": "text"}]},
        {"dataframe_records": []},
        {"dataframe_split": {"data": [[1.0, 2.0]]}},
        {
            "client_request_id": "reader",
            "params": {"a": 1},
            "dataframe_records": [{"a": 1, "b": 2}],
        },
        {"other": 1},
        {"dataframe_records": [], "inputs": []},
    ]
    for body in bodies:
        both.check(body)
    # The model's own error, which is logged as well.
    answer = both.ours.post({"dataframe_records": [{"a": None, "b": 1.0}]})
    assert answer.status == 400
    assert "The model failed (ValueError: Input X contains NaN" in answer.error[2]
    assert any("Input X contains NaN" in str(line.get("fault")) for line in both.ours.log_lines())
    assert both.ours.rows()[0]["served_entity_id"]


@pytest.mark.parametrize(
    "specs",
    [
        [TensorSpec(np.dtype("float64"), (-1, 2))],
        [TensorSpec(np.dtype("float64"), (-1,), "a"), TensorSpec(np.dtype("int64"), (-1, 2), "b")],
    ],
    ids=["unnamed", "named"],
)
def test_tensors_are_served_as_by_mlflow(
    serve: Callable[..., Both], tmp_path: Path, specs: list[Any]
) -> None:
    signature = ModelSignature(inputs=Schema(specs))
    values = "{name: repr(each) for name, each in model_input.items()}"
    result = f"[{values} if isinstance(model_input, dict) else repr(model_input)]"
    both = serve(echo(tmp_path, result, signature))
    answers = [
        both.check(body)
        for body in (
            {"inputs": [[1.0, 2.0], [3.0, 4.0]]},
            {"instances": [[1.0, 2.0], [3.0, 4.0]]},
            {"inputs": {"a": [1.0], "b": [[1, 2]]}},
            {"instances": [{"a": 1.0, "b": [1, 2]}]},
            {"inputs": [[1.0]]},
            {"dataframe_split": {"columns": ["x", "y"], "data": [[1.0, 2.0]]}},
        )
    ]
    assert any(answers)
    assert None in answers


OUTPUTS: dict[str, Any] = {
    "vector": "model_input['a'].to_numpy()",
    "matrix": "model_input.to_numpy()",
    "frame": "model_input.assign(text='t')",
    "series": "model_input['a']",
    "list": "['a', 1, None]",
    "dictionary": "{'a': [1, 2], 'b': 'c'}",
    "text": "'one text'",
    "number": "0.5",
    "nothing": "None",
    "times": "model_input.assign(at=__import__('datetime').datetime(2026, 1, 31))",
    "bytes": "[b'abc']",
    "surrogate": "['\\ud800']",
    "large": "[10**40]",
}


@pytest.mark.parametrize("result", OUTPUTS)
def test_every_output_is_served_as_by_mlflow(
    serve: Callable[..., Both], tmp_path: Path, result: str
) -> None:
    both = serve(echo(tmp_path, OUTPUTS[result]))
    both.check({"dataframe_records": pd.DataFrame(NUMBERS).to_dict("records")})


def test_nan_and_infinity_in_an_output_are_null(serve: Callable[..., Both], tmp_path: Path) -> None:
    """MLflow writes NaN, which is no JSON."""
    result = "model_input.assign(b=[float('inf'), float('-inf'), float('nan'), 1.0])"
    both = serve(echo(tmp_path, result))
    body = json.dumps({"dataframe_records": pd.DataFrame(NUMBERS).to_dict("records")}).encode()
    answer = both.ours.post(body)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    predictions = json.loads(answer.body, parse_constant=refuse)["predictions"]
    assert [row["b"] for row in predictions] == [None, None, None, 1.0]
    theirs = both.mlflow(body).json["predictions"]
    assert [row["b"] for row in theirs[:2]] == [math.inf, -math.inf]


def test_model_that_fails_on_its_example_is_not_loaded(tmp_path: Path) -> None:
    from marvel_kedro.serving.models import loaded_model

    files = echo(tmp_path, "1 / 0")
    (files / "example.json").write_text('{"inputs": [1]}')
    described = yaml.safe_load((files / "MLmodel").read_text())
    described["saved_input_example_info"] = {"serving_input_path": "example.json"}
    (files / "MLmodel").write_text(yaml.safe_dump(described))
    with pytest.raises(ZeroDivisionError):
        loaded_model.load(files)


def test_own_and_other_model_share_the_traffic(registered: Store, tmp_path: Path) -> None:
    configuration = describe(tmp_path / "server", traffic={"champion": 50, "challenger": 50})
    models = deploy(configuration, registered).server.models
    (models / "2-0").unlink()
    (models / "2-0").symlink_to(echo(tmp_path, "['x'] * len(model_input)"))
    with started(configuration) as endpoint:
        answers = [endpoint.post(BODY | {"client_request_id": str(each)}) for each in range(20)]
        answers += [endpoint.post(BODY) for _ in range(20)]
        rows = endpoint.rows()
    by_entity = {
        answer.headers["served-model-name"]: answer.json["predictions"] for answer in answers
    }
    assert set(by_entity) == {"champion", "challenger"}
    assert by_entity["challenger"] == ["x"]
    assert by_entity["champion"][0].keys() == {"prediction", "probability"}
    assert len({row["served_entity_id"] for row in rows}) == 2
    assert [row["client_request_id"] for row in rows[:20]] == [str(each) for each in range(20)]


def test_limits_and_redaction_hold_for_other_models(
    serve: Callable[..., Both], tmp_path: Path
) -> None:
    signature = ModelSignature(inputs=Schema([ColSpec(DataType.long, "x")]))
    both = serve(
        echo(tmp_path, "[1 / 0]", signature),
        limits={"records": 2},
        inference_table={"redact": ["x"]},
    )
    ours = both.ours
    for body in (
        {"dataframe_records": [{"x": 1}] * 3},
        {"dataframe_split": {"columns": ["x"], "data": [[1]] * 3}},
        {"inputs": {"x": [1, 2, 3]}},
        {"inputs": [1, 2, 3]},
    ):
        assert "3 records are more than the limit of 2" in ours.post(body).error[2]
    assert "secret" in ours.post({"dataframe_records": [{"x": "secret"}]}).error[2]
    assert "ZeroDivisionError" in ours.post({"dataframe_records": [{"x": 1}]}).error[2]
    assert "secret" not in json.dumps([ours.rows(), ours.log_lines()])
    for broken in (b"[", b'{"inputs": [%s]}' % (b"9" * 5000), b"\xff", b"[" * 100_000):
        assert ours.post(broken).status == 400


@pytest.mark.parametrize("kind", ["long", "double", "boolean", "string", "datetime"])
def test_csv_and_parquet_are_served_as_by_mlflow(
    serve: Callable[..., Both], tmp_path: Path, kind: str
) -> None:
    of_type, value = VALUES[kind]
    columns: list[Any] = [ColSpec(DataType.string, "key"), ColSpec(of_type, "x", False)]
    both = serve(echo(tmp_path, signature=ModelSignature(inputs=Schema(columns))), limits=FEW)
    value = pd.Timestamp(value) if kind == "datetime" else value
    for values in ([value] * 2, [value, None], ["?", "?"], [value] * 4):
        frame = pd.DataFrame({"key": ["007", "b", "c", "d"][: len(values)], "x": values})
        for media_type, body in (
            ("text/csv", frame.to_csv(index=False).encode()),
            ("application/vnd.apache.parquet", frame.to_parquet()),
        ):
            headers = {"content-type": media_type}
            theirs = both.mlflow(body, media_type)
            ours = both.ours.request("POST", "/invocations", body, headers)
            if len(values) > FEW["records"]:
                assert ours.error[0] == 400
                continue
            assert ours.status == theirs.status, (ours.body, theirs.body)
            if ours.status == 200:
                assert ours.json == theirs.json
                logged = json.loads(both.ours.rows()[-1]["request"])["dataframe_split"]
                assert (logged["columns"][0], len(logged["data"])) == ("key", 2)
