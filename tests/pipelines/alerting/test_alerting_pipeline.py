"""The `alerting` pipeline: from tables of metrics to messages and the decision to retrain."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import labelled_log as labelled
from support import webhook_receiver
from support.project import Project
from support.webhook_receiver import SECRET

from marvel_kedro import cli
from marvel_kedro.monitoring import tables

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
REPORTS = Path("data", "08_reporting")
MODEL = "marvel_characters"


def window(day: int) -> dict[str, datetime]:
    return {"start": START + day * DAY, "end": START + (day + 1) * DAY}


def write_metrics(project: Project, days: int, drift_from: int) -> None:
    """Write metrics of `height`, which drifts from a day on."""
    common = [
        {
            "window": window(day),
            "granularity": "1 day",
            "column_name": "height",
            "model_version": "1",
        }
        for day in range(days)
    ]
    drift = [
        row
        | {
            "drift_type": "BASELINE",
            "ks_test": {"statistic": 0.3, "pvalue": 1e-9}
            if day >= drift_from
            else {"statistic": 0.03, "pvalue": 0.4},
        }
        for day, row in enumerate(common)
    ]
    profile = [row | {"log_type": "INPUT", "count": 500} for row in common]
    for name, rows in (("drift_metrics", drift), ("profile_metrics", profile)):
        schema = getattr(tables, name.upper())
        path = project.path / REPORTS / f"{name}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema), path)


def write_log(project: Project, pages: int, labelled_at: datetime) -> None:
    """Write an inference log: each key twice, half of the rows labelled."""
    ids = [f"Page_{number}" for number in range(pages)]
    known = pd.DataFrame({"page_id": ids, "alive": "Alive", "labelled_at": labelled_at})
    unknown = pd.DataFrame({"page_id": [*ids, None]})
    folder = project.path / "data" / "07_model_output" / "inference_log"
    rows = pd.concat([known, unknown]).assign(request_time=pd.Timestamp(START))
    labelled.write_log(labelled.typed(rows), folder)


def alerts(project: Project) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(
        project.path / REPORTS / "alerts.parquet"
    ).to_pylist()
    return rows


def run(project: Project, day: int, **environment: str) -> str:
    """Run the pipeline at the end of a day."""
    now = (START + (day + 1) * DAY).isoformat()
    params = ("--params", f"monitoring.now={now}")
    outcome = project.cli("--pipelines", "alerting", *params, environment=environment)
    assert outcome.status == 0, outcome.output
    return outcome.output


def test_drift_is_notified_once_and_decides_to_retrain(project: Project, tmp_path: Path) -> None:
    values = tmp_path / "values.json"
    write_log(project, 600, START + 3 * DAY)
    write_metrics(project, days=5, drift_from=5)
    with webhook_receiver.running() as receiver:
        settings = {"MARVEL_ALERT_WEBHOOK": receiver.url, "MARVEL_TASK_VALUES": str(values)}
        run(project, 4, **settings)
        assert alerts(project) == []
        assert json.loads(values.read_text()) == {"retrain": "false"}
        assert project.report("retrain")["labelled_records"] == 600

        write_metrics(project, days=6, drift_from=5)
        output = run(project, 5, **settings)
        (alert,) = alerts(project)
        assert (alert["rule"], alert["column_name"], alert["state"]) == (
            "input_drift",
            "height",
            "open",
        )
        assert alert["notified_at"] == START + 6 * DAY
        assert json.loads(values.read_text()) == {"retrain": "true"}
        assert project.report("retrain")["reasons"] == [f"input_drift: {alert['message']}"]
        assert "1 open" in output
        assert "input_drift" in output

        run(project, 5, **settings)
        assert alerts(project) == [alert]
        assert len(receiver.messages) == 1
        assert alert["message"] in receiver.messages[0]["blocks"][1]["text"]["text"]

    written = [path for path in project.path.rglob("*") if path.is_file()]
    assert not [path for path in written if SECRET.encode() in path.read_bytes()]


def test_alerts_of_a_retired_version_close_with_the_reason_and_return_with_it(
    project: Project,
) -> None:
    client = project.client()
    client.create_registered_model(MODEL)
    for _ in range(2):
        client.create_model_version(MODEL, str(project.path / "nowhere"))
    client.set_registered_model_alias(MODEL, "champion", "1")
    write_log(project, 600, START)
    write_metrics(project, days=2, drift_from=1)
    with webhook_receiver.running() as receiver:
        settings = {"MARVEL_ALERT_WEBHOOK": receiver.url}
        run(project, 1, **settings)
        (opened,) = alerts(project)
        assert (opened["state"], opened["resolution"]) == ("open", None)

        client.set_registered_model_alias(MODEL, "champion", "2")
        client.set_registered_model_alias(MODEL, "previous", "1")
        output = run(project, 1, **settings)
        (closed,) = alerts(project)
        assert closed == opened | {"state": "resolved", "resolution": "version 1 is retired"}
        assert "0 open" in output
        (reason,) = project.report("retrain")["reasons"]
        assert reason == "no alert of a rule with retrain: true fires"
        listed = project.cli("--all", command=cli.alerts).output
        assert "version 1 is retired" in " ".join(listed.split())
        assert len(receiver.messages) == 1

        client.set_registered_model_alias(MODEL, "champion", "1")  # a rollback
        run(project, 1, **settings)
        assert [alert["state"] for alert in alerts(project)] == ["open"]
        assert len(receiver.messages) == 2


def test_broken_webhook_does_not_fail_the_run(project: Project) -> None:
    write_log(project, 600, START)
    write_metrics(project, days=2, drift_from=1)
    with webhook_receiver.running() as receiver:
        receiver.statuses = [403]
        output = run(project, 1, MARVEL_ALERT_WEBHOOK=receiver.url)
        assert "not sent to the webhook" in output
        assert "status 403" in output
        assert SECRET not in output
        assert alerts(project)[0]["notified_at"] is None


@pytest.mark.parametrize("trained", [START + 2 * DAY, START + 4 * DAY])
def test_without_a_recorded_number_labels_count_by_their_time(
    project: Project, trained: datetime
) -> None:
    write_log(project, 10, START + 3 * DAY)
    log = pa.Table.from_pylist([{"retrained_at": trained}], tables.RETRAINING_LOG)
    pq.write_table(
        log.drop_columns("labelled_in_all"), project.path / REPORTS / "retraining_log.parquet"
    )
    project.run("alerting", monitoring={"now": "2026-01-05T00:00:00+00:00"})
    decision = project.report("retrain")
    # The retraining recorded no number: an earlier version of the project started it.
    assert decision["labelled_records"] == (10 if trained < START + 3 * DAY else 0)
    assert decision["cooldown_until"] == (trained + 7 * DAY).isoformat()


def test_labels_loaded_late_count_as_new(project: Project) -> None:
    """The outcome may be earlier than the retraining, or have no time."""
    trained = START + 4 * DAY
    row = {"retrained_at": trained, "labelled_in_all": 10}
    log = pa.Table.from_pylist([row], tables.RETRAINING_LOG)
    pq.write_table(log, project.path / REPORTS / "retraining_log.parquet")
    ids = [f"Page_{number}" for number in range(25)]
    times = [START] * 20 + [None] * 5
    known = pd.DataFrame({"page_id": ids, "alive": "Alive", "labelled_at": times})
    to_come = pd.DataFrame({"page_id": ["Page_to_come"], "alive": ["Dead"]})
    requested = (
        {"request_time": pd.Timestamp(START)},
        {"request_time": pd.Timestamp(START + 99 * DAY)},
    )
    known = pd.concat([known.assign(**requested[0]), to_come.assign(**requested[1])])
    folder = project.path / "data" / "07_model_output" / "inference_log"
    labelled.write_log(labelled.typed(known), folder)
    project.run("alerting", monitoring={"now": "2026-01-05T00:00:00+00:00"})
    assert project.report("retrain")["labelled_records"] == 15
