"""Values of redacted fields are neither in the inference table nor in the log."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.in_process import BODY, InProcess, deploy, started
from support.running_server import Store, describe
from support.table import TABLE

from marvel_kedro.datasets.online_table import OnlineTableDataset
from marvel_kedro.pipelines.serving.nodes import publish_records
from marvel_kedro.serving.http.protocol import FORMS

SECRET = "of-a-secret-earth"
REDACTED = ("page_id", "name", "height", "client_request_id")


@pytest.fixture(scope="module")
def redacting(
    registered: Store, tmp_path_factory: pytest.TempPathFactory, characters: pd.DataFrame
) -> Iterator[InProcess]:
    table = {"redact": list(REDACTED)}
    configuration = describe(tmp_path_factory.mktemp("redacting"), inference_table=table)
    OnlineTableDataset(str(configuration.server.online_records)).save(
        publish_records(characters, TABLE)
    )
    with started(deploy(configuration, registered)) as found:
        yield found


def written(endpoint: InProcess) -> str:
    """Return what the last request has left in the table and in the log."""
    row, line = endpoint.rows()[-1], endpoint.log_lines()[-1]
    assert row["databricks_request_id"] == line["request_id"]
    return json.dumps([row, line])


def test_error_is_written_without_the_values_that_it_quotes(redacting: InProcess) -> None:
    answer = redacting.post({"inputs": {"page_id": [SECRET, "another"]}})
    assert f'2 unknown page_id: "{SECRET}", "another".' in answer.error[2]
    row = json.loads(redacting.rows()[-1]["response"])
    assert row["error_code"] == "INVALID_PARAMETER_VALUE"
    assert row["message"].startswith("2 unknown page_id. Records with nothing else")
    assert SECRET not in written(redacting)


def test_client_request_id_is_redacted_in_the_log(redacting: InProcess) -> None:
    assert redacting.post(BODY | {"client_request_id": SECRET}).status == 200
    assert redacting.log_lines()[-1]["client_request_id"] == "***"
    assert SECRET not in written(redacting)
    assert redacting.post(BODY).status == 200
    assert redacting.log_lines()[-1]["client_request_id"] is None


def test_internal_error_is_logged_without_values_if_fields_are_redacted(
    redacting: InProcess, endpoint: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(records: list[Any]) -> list[tuple[str, float]]:
        raise KeyError(records[0]["name"])

    for each, is_quoted in ((endpoint, True), (redacting, False)):
        served = each.app._entities.choose(None)
        broken = replace(served, loaded=replace(served.loaded, score=fail))
        monkeypatch.setattr(each.app._entities, "choose", lambda _, broken=broken: broken)
        assert each.post({"inputs": [{"name": SECRET}]}).error[:2] == (500, "INTERNAL_ERROR")
        fault, _ = each.log_lines()[-2:]
        assert "KeyError" in fault["fault"]
        assert (SECRET in fault["fault"]) == is_quoted
        assert is_quoted or "test_redaction.py:" in fault["fault"]


VALUES = st.sampled_from(
    [SECRET, [SECRET], {SECRET: 1}, {"x": SECRET}, f"{SECRET}\ud800", [[{"a": SECRET}]]]
)
RECORDS = st.dictionaries(st.sampled_from(REDACTED[:3]), VALUES, min_size=1)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(RECORDS, st.sampled_from(FORMS), st.none() | VALUES, st.integers(0, 200))
def test_redacted_value_is_written_nowhere_in_any_valid_or_cut_body(
    redacting: InProcess, record: dict[str, Any], form: str, name: Any, end: int
) -> None:
    shapes = {
        "dataframe_split": {"columns": list(record), "data": [list(record.values())]},
        "inputs": {field: [value] for field, value in record.items()},
    }
    body = {"client_request_id": name, form: shapes.get(form, [record])}
    answer = redacting.post(json.dumps(body).encode()[: end or None])
    assert answer.status in (200, 400)
    assert SECRET not in written(redacting)
