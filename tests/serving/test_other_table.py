"""A server of another table, by a model of this project and by one of scikit-learn."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from support.churn import CHURN, customers
from support.project import reset_store
from support.running_server import Server, describe, running, until

from marvel_kedro.datasets.online_table import OnlineTableDataset
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.packaging import log_candidate
from marvel_kedro.pipelines.serving.nodes import publish_records

ANOTHER_TABLE = re.compile(
    r"alive|\bdead\b|page_id|character|universe|marvel(?![_-])", re.IGNORECASE
)
JSON = "application/json"


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return customers(300)


@pytest.fixture(scope="module")
def store(rows: pd.DataFrame, empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with a model of this project, version 1, and one of scikit-learn, version 2."""
    folder = tmp_path_factory.mktemp("churn_store")
    uri = f"sqlite:///{folder}/mlflow.db"
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    mlflow.set_tracking_uri(uri)
    MlflowClient().create_experiment("tests", artifact_location=str(folder / "artifacts"))
    mlflow.set_experiment("tests")
    inputs = rows[["balance", "plan"]].dropna().assign(visits=1)
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["plan"]), remainder="passthrough"
    )
    other = make_pipeline(encode, LogisticRegression(max_iter=1000))
    other.fit(inputs, rows.loc[inputs.index, "churned"])
    options = FitOptions(max_trees=20, folds=2, learning_rate=0.3)
    with mlflow.start_run():
        own = log_candidate(fit(rows, CHURN, options), "own")
        foreign = mlflow.sklearn.log_model(other, name="foreign", input_example=inputs.head(2))
    for info in (own, foreign):
        mlflow.register_model(info.model_uri, CHURN.name)
    reset_store()
    return uri


@pytest.fixture(scope="module", params=["1", "2"], ids=["own", "foreign"])
def server(
    request: pytest.FixtureRequest,
    store: str,
    rows: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    """A server of either version; nothing that it writes is of another table."""
    MlflowClient(store).set_registered_model_alias(CHURN.name, "champion", request.param)
    description = describe(tmp_path_factory.mktemp("churn"), table=CHURN)
    OnlineTableDataset(str(description.server.online_records)).save(publish_records(rows, CHURN))
    with running(description, store) as found:
        yield found
        pages = [found.ask(path).text for path in ("/", "/openapi.json", "/metrics", "/version")]
        for text in (*pages, found.stdout, found.stderr):
            assert not ANOTHER_TABLE.search(text), ANOTHER_TABLE.findall(text)


def send(server: Server, body: Any, media_type: str = JSON) -> Any:
    """Send a body and return the predictions."""
    sent = {"json": body} if media_type == JSON else {"data": body}
    answer = server.ask("/invocations", "POST", headers={"content-type": media_type}, **sent)
    assert answer.status_code == 200, answer.text
    return answer.json()["predictions"]


def test_examples_work_unchanged_and_are_the_models_own(server: Server) -> None:
    described = server.ask("/openapi.json").json()
    assert described["info"]["description"].startswith("Is churned Yes or No?")
    content = described["paths"]["/invocations"]["post"]["requestBody"]["content"]
    examples = [one["value"] for one in content[JSON]["examples"].values()]
    examples.append(described["components"]["schemas"]["Invocation"]["example"])
    answers = [send(server, example) for example in examples]
    answers.append(send(server, content["text/csv"]["example"], "text/csv"))
    assert len(answers) == 6
    assert len(answers[0]) == 1
    assert all(answer == answers[0] for answer in answers)
    columns = set(described["components"]["schemas"]["Record"]["properties"])
    record = described["components"]["schemas"]["Record"]["example"]
    assert columns - {"customer"} == record.keys()
    if record.keys() == {"balance", "plan", "visits"}:
        assert described["components"]["schemas"]["Predictions"]["properties"] == {
            "predictions": {}
        }
    else:
        prediction = described["components"]["schemas"]["Prediction"]["properties"]["prediction"]
        assert prediction["enum"] == ["Yes", "No"]


@pytest.mark.parametrize("server", ["1"], ids=["own"], indirect=True)
def test_record_is_completed_by_its_key(server: Server, rows: pd.DataFrame) -> None:
    known = rows.iloc[7]
    whole = known[list(CHURN.inputs)].astype(object).where(known.notna(), None).to_dict()
    assert send(server, {"dataframe_records": [{"customer": known["customer"]}]}) == send(
        server, {"dataframe_records": [whole]}
    )
    answer = server.invoke([{"customer": "C9"}, {"customer": "C9"}])
    assert answer.status_code == 400
    assert '1 unknown customer: "C9"' in answer.json()["message"]
    assert "such as balance, age, plan." in answer.json()["message"]
    assert not ANOTHER_TABLE.search(answer.text)


@pytest.mark.parametrize("server", ["1"], ids=["own"], indirect=True)
def test_columns_of_the_file_are_named_with_their_fields(server: Server) -> None:
    answer = server.invoke([{"Balance": 1.5, "Plan": "Top"}])
    assert answer.status_code == 400
    assert "other names here: Balance is balance, Plan is plan." in answer.json()["message"]


@pytest.mark.parametrize("server", ["1"], ids=["own"], indirect=True)
def test_boolean_counts_as_its_text(server: Server) -> None:
    def answers(value: Any) -> Any:
        return send(server, {"instances": [{"balance": -50, "paperless": value}]})

    assert answers(True) == answers("true")
    assert answers(False) == answers("false")
    answer = server.invoke([{"paperless": 1}])
    assert answer.status_code == 400
    assert "the field paperless must be text or null" in answer.json()["message"]


def test_positive_predictions_are_counted(server: Server) -> None:
    before = server.metric("marvel_predicted_positive_total")
    record = {"balance": -900.0, "plan": "basic", "visits": 1}
    predicted = send(server, {"dataframe_records": [record] * 40})
    words = [row["prediction"] if isinstance(row, dict) else row for row in predicted]
    assert words == ["Yes"] * 40

    until(lambda: server.metric("marvel_predicted_positive_total") >= before + 40)
