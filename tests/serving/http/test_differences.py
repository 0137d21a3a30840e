"""The list of differences in docs/serving.md, compared with what MLflow's server answers."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import requests
from mlflow.pyfunc.scoring_server import client
from support.mlflow_requests import DIFFERENT, SAME_FOR_BOTH, Sent
from support.mlflow_server import mlflow_serving
from support.project import ROOT
from support.running_server import Server, Store, describe, mlflow_files, running
from support.table import TABLE

from marvel_kedro.datasets.online_table import OnlineTableDataset
from marvel_kedro.pipelines.serving.nodes import publish_records

LIMITS = {"records": 50, "body_bytes": 250_000}
STATUS = re.compile(r"\b[2-5]\d\d\b")
OWN_CONTENT = ("/docs", "/openapi.json", "/redoc", "/", "/metrics")
Outcome = tuple[int, Any]


@pytest.fixture(scope="module")
def servers(
    registered: Store, tmp_path_factory: pytest.TempPathFactory, characters: pd.DataFrame
) -> Iterator[tuple[str, Server]]:
    """The address of MLflow's server, and this server, with the same model."""
    folder = tmp_path_factory.mktemp("differences")
    model = Path(mlflow_files(registered.client(), "1"))
    description = registered.fetch(describe(folder, limits=LIMITS))
    OnlineTableDataset(str(description.server.online_records)).save(
        publish_records(characters, TABLE)
    )
    with (
        mlflow_serving(model, folder / "mlflow.out") as address,
        running(description, registered.uri) as server,
    ):
        yield address(), server


def outcome(url: str, sent: Sent) -> Outcome:
    """Return the status, and of the body what clients rely on: not messages and own pages."""
    with requests.Session() as session:
        session.trust_env = False
        request = requests.Request(sent.method, url + sent.path, sent.headers, data=sent.body)
        found = session.send(request.prepare(), timeout=60, allow_redirects=False)
    try:
        body = found.json()
    except ValueError:
        body = found.text
    if sent.path in OWN_CONTENT:
        body = None
    elif not found.ok:
        body = sorted({"error_code", "message", "detail"} & set(body)) if type(body) is dict else ""
    return found.status_code, body


@pytest.fixture(scope="module")
def outcomes(
    servers: tuple[str, Server], characters: pd.DataFrame
) -> dict[str, list[tuple[Sent, Outcome, Outcome]]]:
    """The answers of MLflow's server and of this one, by line of the list."""
    url, server = servers
    page_id = characters["page_id"][0].encode()

    def both(sent: Sent) -> tuple[Sent, Outcome, Outcome]:
        sent = replace(sent, body=sent.body.replace(b"{page_id}", page_id))
        return sent, outcome(url, sent), outcome(server.url, sent)

    with ThreadPoolExecutor(4) as pool:
        lines = {"": SAME_FOR_BOTH} | DIFFERENT
        return {line: list(pool.map(both, some)) for line, some in lines.items()}


def documented() -> dict[str, tuple[str, str]]:
    """Return the lines of the list: what MLflow's server does, and what this one does."""
    text = (ROOT / "docs" / "serving.md").read_text("utf-8")
    (table,) = re.findall(r"^\| request \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    rows = [
        [cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table.splitlines()
    ]
    return {name: (there, here) for name, there, here in rows}


def test_each_line_of_the_list_is_shown_by_a_request() -> None:
    assert list(documented()) == list(DIFFERENT)


def test_other_requests_get_the_same_answer(outcomes: Any) -> None:
    assert len(outcomes[""]) > 60
    different = [one for one in outcomes[""] if one[1] != one[2]]
    assert not different, "\n".join(f"{sent}\n  {a}\n  {b}" for sent, a, b in different)


@pytest.mark.parametrize("line", DIFFERENT)
def test_difference_is_as_documented(outcomes: Any, line: str) -> None:
    for place in (0, 1):
        written = {int(code) for code in STATUS.findall(documented()[line][place])}
        answered = {one[place + 1][0] for one in outcomes[line]}
        assert answered == written, outcomes[line]
    assert all(there != here for _, there, here in outcomes[line]), outcomes[line]


def test_client_of_mlflow_gets_ping_version_and_predictions(servers: tuple[str, Server]) -> None:
    url, server = servers
    urls = (url, server.url)
    new_client: Any = client.ScoringServerClient
    there, here = (new_client("127.0.0.1", one.rpartition(":")[2]) for one in urls)
    here.ping()
    assert json.loads(here.get_version())["mlflow"] == there.get_version() == mlflow.__version__
    frame = pd.DataFrame({"gender": ["Male", None], "height": [1.8, None]})
    assert here.invoke(frame).get_predictions().equals(there.invoke(frame).get_predictions())
