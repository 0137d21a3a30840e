"""curl and the clients of MLflow and Databricks, unchanged."""

import gzip
import json
import math
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotFound, Unauthenticated
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException
from mlflow.utils.proto_json_utils import dump_input_data
from support.in_process import InProcess
from support.project import ROOT, clean_environment, missing
from support.running_server import EXAMPLE, Server

ENDPOINT = "marvel"
COLUMNS, VALUES = list(EXAMPLE), list(EXAMPLE.values())
FORMS: dict[str, Any] = {
    "dataframe_records": [EXAMPLE],
    "dataframe_split": {"columns": COLUMNS, "data": [VALUES]},
    "instances": [EXAMPLE],
    "inputs": {name: [value] for name, value in EXAMPLE.items()},
}


@pytest.fixture(scope="module")
def expected(served: Server) -> Any:
    answer = served.invoke([EXAMPLE])
    assert answer.status_code == 200
    return answer.json()["predictions"]


@pytest.fixture
def token(served: Server) -> str:
    return served.headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def databricks_host(served: Server, token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the server the workspace of Databricks' clients."""
    monkeypatch.setenv("DATABRICKS_HOST", served.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", token)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


# --- curl ---


def curl(*words: str, sent: str = "") -> tuple[int, str]:
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "-w", "\n%{http_code}", *words],
        input=sent, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    body, _, status = done.stdout.rpartition("\n")
    return int(status), body


@pytest.mark.parametrize("form", FORMS)
def test_curl_gets_predictions_for_every_form(
    served: Server, token: str, expected: Any, form: str
) -> None:
    for path in ("/invocations", f"/serving-endpoints/{ENDPOINT}/invocations"):
        status, body = curl(
            served.url + path,
            "-H", f"Authorization: Bearer {token}",
            "-H", "Content-Type: application/json",
            "-d", json.dumps({form: FORMS[form]}),
        )  # fmt: skip
        assert (status, json.loads(body)) == (200, {"predictions": expected})


def test_curl_command_of_the_readme_works(served: Server, token: str) -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    (written,) = re.findall(r"^curl .*?'$", readme.replace("\\\n", " "), re.MULTILINE)
    words = [
        word.replace("localhost:8080", served.url.removeprefix("http://"))
        for word in shlex.split(written)[1:]
    ]
    status, body = curl(*words, "--oauth2-bearer", token)
    assert status == 200
    (row,) = json.loads(body)["predictions"]
    assert row["prediction"] in {"Alive", "Dead"}


def test_curl_option_json_sends_the_right_content_type(
    served: Server, token: str, expected: Any
) -> None:
    words = (served.url + "/invocations", "--oauth2-bearer", token)
    status, body = curl(*words, "--json", json.dumps({"inputs": [EXAMPLE]}))
    assert (status, json.loads(body)) == (200, {"predictions": expected})


def test_curl_sends_csv_parquet_and_gzip_as_documented(
    served: Server, token: str, expected: Any, tmp_path: Path
) -> None:
    frame = pd.DataFrame([EXAMPLE])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress((tmp_path / "rows.csv").read_bytes()))
    documented = (ROOT / "docs" / "serving.md").read_text("utf-8")
    written = re.findall(r"^curl .* --data-binary @(rows\..*)$", documented, re.MULTILINE)
    assert written == ["rows.csv", "rows.parquet", "rows.csv.gz"]
    for command in re.findall(r"^curl (.* --data-binary @.*)$", documented, re.MULTILINE):
        line = command.replace("localhost:8080", served.url).replace("@", f"@{tmp_path}/")
        status, body = curl(*shlex.split(line), "--oauth2-bearer", token)
        assert (status, json.loads(body)) == (200, {"predictions": expected})


def test_curl_without_content_type_gets_415_that_names_the_header(
    served: Server, token: str
) -> None:
    status, body = curl(
        served.url + "/invocations", "-H", f"Authorization: Bearer {token}", "-d", "{}"
    )
    assert status == 415
    assert "Content-Type: application/json" in json.loads(body)["message"]


def test_curl_gets_100_continue_which_it_expects_for_long_bodies(
    served: Server, token: str, expected: Any
) -> None:
    status, body = curl(
        served.url + "/invocations",
        "-H", f"Authorization: Bearer {token}",
        "-H", "Content-Type: application/json",
        "-H", "Expect: 100-continue",
        "--expect100-timeout", "20", "-m", "10",
        "--data-binary", "@-", sent=json.dumps({"inputs": [EXAMPLE] * 5000}),
    )  # fmt: skip
    assert status == 200
    assert json.loads(body)["predictions"] == expected * 5000


@pytest.mark.parametrize("records", [1, 5000])
def test_curl_that_offers_http_2_gets_predictions(
    served: Server, token: str, expected: Any, records: int
) -> None:
    status, body = curl(
        served.url + "/invocations", "--http2", "--oauth2-bearer", token,
        "-H", "Content-Type: application/json", "-H", "Expect: 100-continue", "-m", "10",
        "--data-binary", "@-", sent=json.dumps({"inputs": [EXAMPLE] * records}),
    )  # fmt: skip
    assert status == 200
    assert json.loads(body)["predictions"] == expected * records


# --- Java ---

JAVA = """
import java.net.URI;
import java.net.http.*;
import java.nio.file.*;

class Client {  // which offers HTTP/2 with each request by default
    public static void main(String[] words) throws Exception {
        var client = HttpClient.newHttpClient();
        for (var file : words[2].split(",")) for (var waits : new boolean[] {false, true}) {
            var body = HttpRequest.BodyPublishers.ofFile(Path.of(file));
            var request = HttpRequest.newBuilder(URI.create(words[0])).POST(body)
                .expectContinue(waits).header("Content-Type", "application/json")
                .header("Authorization", "Bearer " + words[1]).build();
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode() + " " + answer.version() + " " + answer.body());
        }
    }
}
"""


def test_java_client_that_offers_http_2_gets_predictions(
    served: Server, token: str, expected: Any, tmp_path: Path
) -> None:
    if shutil.which("javac") is None:
        missing("no JDK found: apt-get install openjdk-17-jdk-headless")
    (tmp_path / "Client.java").write_text(JAVA, "utf-8")
    sizes = (1, 5000)  # in one packet, and in many
    for size in sizes:
        (tmp_path / f"{size}").write_text(json.dumps({"inputs": [EXAMPLE] * size}), "utf-8")
    command = ["java", "Client.java", served.url + "/invocations", token, "1,5000"]
    done = subprocess.run(
        command, cwd=tmp_path, env=clean_environment(),
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answers = [line.split(" ", 2) for line in done.stdout.splitlines()]
    assert [answer[:2] for answer in answers] == [["200", "HTTP_1_1"]] * 4
    numbers = [len(json.loads(body)["predictions"]) for _, _, body in answers]
    assert numbers == [1, 1, 5000, 5000]
    assert json.loads(answers[0][2])["predictions"] == expected


# --- mlflow.deployments ---


@pytest.mark.usefixtures("databricks_host")
@pytest.mark.parametrize("form", FORMS)
def test_mlflow_deployments_client_gets_predictions_for_every_form(
    expected: Any, form: str
) -> None:
    client: Any = get_deploy_client("databricks")  # type: ignore[no-untyped-call]
    answer = client.predict(endpoint=ENDPOINT, inputs={form: FORMS[form]})
    assert answer["predictions"] == expected


@pytest.mark.usefixtures("databricks_host")
def test_mlflow_deployments_client_raises_the_message_of_the_error() -> None:
    client: Any = get_deploy_client("databricks")  # type: ignore[no-untyped-call]
    for endpoint, body, message in (
        ("other", {"inputs": [EXAMPLE]}, "there is no such endpoint"),
        (ENDPOINT, {"inputs": [{"name": 1}]}, "must be text or null"),
    ):
        with pytest.raises((requests.HTTPError, MlflowException), match=message):
            client.predict(endpoint=endpoint, inputs=body)


def test_client_of_mlflows_server_sends_nan_for_a_null(endpoint: InProcess) -> None:
    """By `ScoringServerClient.invoke`, which sends no token."""
    frame = pd.DataFrame([EXAMPLE, {"gender": math.nan, "height": 1.8}], dtype=object)
    for sent in (frame, frame.tail(1)):
        body: str = dump_input_data(sent)
        assert "NaN" in body
        answer = endpoint.post(body.encode())
        expected = endpoint.post({"inputs": [EXAMPLE, {"height": 1.8}][-len(sent) :]})
        assert answer.json == expected.json


# --- databricks-sdk ---


@pytest.mark.usefixtures("databricks_host")
def test_databricks_sdk_gets_predictions_for_every_form(served: Server, expected: Any) -> None:
    endpoints = WorkspaceClient().serving_endpoints
    frame = pd.DataFrame([EXAMPLE])
    for form in (
        {"dataframe_records": [EXAMPLE]},
        {"dataframe_split": _split(frame)},
        {"inputs": FORMS["inputs"]},
        {"inputs": [EXAMPLE]},
        {"instances": [EXAMPLE]},
    ):
        answer = endpoints.query(name=ENDPOINT, **form)
        assert answer.predictions == expected, form
        assert answer.served_model_name == "champion"
    endpoints.query(name=ENDPOINT, dataframe_records=[EXAMPLE], client_request_id="from-the-sdk")


def _split(frame: pd.DataFrame) -> Any:
    from databricks.sdk.service.serving import DataframeSplitInput

    return DataframeSplitInput(columns=list(frame), data=frame.to_numpy().tolist())


@pytest.mark.usefixtures("databricks_host")
def test_databricks_sdk_raises_its_own_errors(served: Server) -> None:
    endpoints = WorkspaceClient().serving_endpoints
    with pytest.raises(NotFound, match="there is no such endpoint; this server has marvel"):
        endpoints.query(name="other", dataframe_records=[EXAMPLE])
    with pytest.raises(InvalidParameterValue, match="must be text or null"):
        endpoints.query(name=ENDPOINT, dataframe_records=[{"name": 1}])
    with pytest.raises(NotFound):
        endpoints.get(ENDPOINT)
    stranger = WorkspaceClient(host=served.url, token="wrong").serving_endpoints
    with pytest.raises(Unauthenticated):
        stranger.query(name=ENDPOINT, dataframe_records=[EXAMPLE])
