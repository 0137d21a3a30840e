"""Monitoring after kills and with odd requests: correct figures or a named reason."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from support.inference_traffic import (
    LABELS_SCHEMA,
    PAYLOAD_SCHEMA,
    Traffic,
    answer,
    body,
    make_traffic,
    served_entities,
)
from support.monitoring_state import LOGS, METRICS, metrics, monitor, state
from support.project import Project, at_kill_points

from marvel_kedro.monitoring.inference_log import records

DAY = datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("shard", "shards"), [("5", "12"), pytest.param("0", "2", marks=pytest.mark.slow)]
)
def test_monitoring_killed_at_many_points_ends_as_if_it_had_not_been(
    watched: Project, trained: Path, tmp_path: Path, shard: str, shards: str
) -> None:
    first, then = make_traffic(days=3, requests_a_day=40), make_traffic(days=3, requests_a_day=50)
    first.write(watched.path / "data")
    points: list[str] = []
    words = (shard, shards, "base", "monitoring")
    for event in at_kill_points(watched, tmp_path / "log", *words):
        if "undisturbed" in event:
            shutil.rmtree(watched.path / "data/07_model_output/inference_payload")
            shutil.rmtree(watched.path / "data/07_model_output/served_entities")
            then.write(watched.path / "data")
        elif "points" in event:
            points = event["points"]
        elif "point" in event:
            for name in METRICS:
                assert len(metrics(watched, name)), event
        else:
            assert event == {"last": 0}, (tmp_path / "log").read_text()[-3000:]
    assert len(points) > 20 // int(shards)
    said_of_1 = [line for line in (tmp_path / "log").read_text().splitlines() if "ersion 1" in line]
    assert not said_of_1, "its baseline could not be made"
    assert not list(watched.path.rglob("*.partial"))

    shutil.copytree(trained, tmp_path / "undisturbed")
    undisturbed = Project(tmp_path / "undisturbed")
    then.write(undisturbed.path / "data")
    monitor(undisturbed)
    assert state(watched) == state(undisturbed)


def request(number: int, records: list[dict[str, Any]], **changed: Any) -> dict[str, Any]:
    return {
        "databricks_request_id": f"request-{number}",
        "request_date": DAY.date(),
        "client_request_id": None,
        "request_time": DAY + timedelta(minutes=number),
        "status_code": 200,
        "sampling_fraction": 1.0,
        "execution_duration_ms": 5,
        "request": body("dataframe_records", records),
        "response": answer([0.9] * len(records)),
        "logging_error_codes": [],
        "served_entity_id": "a",
        "requester": "test",
    } | changed


def write(project: Project, requests: list[dict[str, Any]], labels: list[tuple[str, str]]) -> None:
    known = [(page, alive, DAY + timedelta(days=1)) for page, alive in labels]
    Traffic(
        pa.Table.from_pylist(requests, PAYLOAD_SCHEMA),
        served_entities({"a": ("champion", "1"), "b": ("champion", "2")}),
        pa.Table.from_pylist(
            [dict(zip(LABELS_SCHEMA.names, row, strict=True)) for row in known], LABELS_SCHEMA
        ),
    ).write(project.path / "data")


def overall(project: Project, column: str, version: str = "1") -> list[dict[str, Any]]:
    return [
        row
        for row in metrics(project, "profile_metrics").to_pylist()
        if row["log_type"] == "INPUT"
        and row["slice_key"] is None
        and row["column_name"] == column
        and row["model_version"] == version
    ]


def reasons(project: Project) -> dict[str, int]:
    table = DeltaTable(project.path / "data/07_model_output/rejected_requests").to_pandas()
    return {str(reason): int(rows) for reason, rows in table["reason"].value_counts().items()}


HERO = {"name": "Ann", "universe": "Earth-616", "gender": "Female", "height": 1.7, "weight": 60.0}


def test_unreadable_requests_are_rejected_with_a_reason_and_counted(watched: Project) -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"request": None, "logging_error_codes": ["MAX_REQUEST_SIZE_EXCEEDED"]},
        {"response": None, "logging_error_codes": ["MAX_RESPONSE_SIZE_EXCEEDED"]},
        {"request_time": None},
        {"databricks_request_id": None},
        {"status_code": None, "served_entity_id": None},
        {"status_code": 429, "served_entity_id": None, "execution_duration_ms": None},
        {"request": "{"},
        {"response": answer([0.4, 0.5])},
        {"served_entity_id": None},
    ]
    write(watched, [request(n, [HERO], **changed) for n, changed in enumerate(odd)], [])
    monitor(watched)
    assert reasons(watched) == {
        "the request was not logged: MAX_REQUEST_SIZE_EXCEEDED": 1,
        "the response was not logged: MAX_RESPONSE_SIZE_EXCEEDED": 1,
        "it has no time": 1,
        "it has no id": 1,
        "it was not answered: no status": 1,
        "it was not answered: status 429": 1,
        "the request is not JSON": 1,
        "1 records and 2 predictions": 1,
        "it has no served_entity_id": 1,
    }
    health = metrics(watched, "health_metrics").to_pylist()
    names = ("requests", "answered", "throttled", "failed", "unread", "records")
    totals = {name: sum(row[name] for row in health) for name in names}
    assert totals == {
        "requests": 10, "answered": 8, "throttled": 1, "failed": 1, "unread": 7, "records": 1,
    }  # fmt: skip
    (row,) = overall(watched, ":table")
    assert row["count"] == 1
    assert {row["window"]["start"] for row in health} == {DAY}


def test_repeated_request_counts_once_per_day_whatever_the_order(watched: Project) -> None:
    """The first row with a time and a status counts."""
    again = [
        request(1, [HERO], status_code=500),
        request(1, [HERO]),
        request(2, [HERO], request_time=None),
        request(2, [HERO]),
        request(
            2,
            [HERO],
            request_time=DAY + timedelta(days=1),
            request_date=DAY.date() + timedelta(days=1),
        ),
    ]
    for order in (again, again[::-1]):
        shutil.rmtree(watched.path / "data/07_model_output", ignore_errors=True)
        write(watched, order, [])
        monitor(watched)
        counts = [row["count"] for row in overall(watched, ":table")]
        assert counts == [2, 1]


def test_unknown_label_values_are_ignored_with_a_warning(watched: Project) -> None:
    known = [("P1", "Alive"), ("P2", "alive"), ("P3", "DEAD")]
    write(watched, [request(n, [HERO | {"page_id": f"P{n}"}]) for n in range(4)], known)
    outcome = watched.cli("--pipelines", "monitoring")
    assert outcome.status == 0, outcome.output
    output = " ".join(outcome.output.split())
    assert "2 labels are neither Alive nor Dead and are ignored" in output
    health = metrics(watched, "health_metrics").to_pylist()
    assert sum(row["labelled"] for row in health) == 1


@pytest.mark.parametrize(
    "names",
    [
        ("profile_metrics", "inference_log"),
        pytest.param((*METRICS, *LOGS), marks=pytest.mark.slow),
    ],
    ids=["two", "all"],
)
def test_removed_table_is_rebuilt(watched: Project, names: tuple[str, ...]) -> None:
    make_traffic(days=2, requests_a_day=40).write(watched.path / "data")
    monitor(watched)
    before = state(watched)
    for name in names:
        if name in METRICS:
            (watched.path / f"data/08_reporting/{name}.parquet").unlink()
        else:
            shutil.rmtree(watched.path / "data/07_model_output" / name)
        monitor(watched)
        assert state(watched) == before, name


def test_day_with_deleted_requests_keeps_its_metrics_unless_recomputed(watched: Project) -> None:
    make_traffic(days=2, requests_a_day=40).write(watched.path / "data")
    monitor(watched)
    before = state(watched)
    payload = DeltaTable(watched.path / "data/07_model_output/inference_payload")
    payload.delete("request_time < '2026-01-01T12:00:00Z'")
    left = len(payload.to_pyarrow_table())
    assert 0 < left < 80
    monitor(watched)
    monitor(watched)
    assert state(watched) == before
    monitor(watched, recompute_from="2026-01-01")
    assert sum(row["requests"] for row in metrics(watched, "health_metrics").to_pylist()) == left


def test_version_is_updated_when_the_served_entity_gets_its_name(watched: Project) -> None:
    """Requests are logged before the table of served entities names their entity."""
    traffic = make_traffic(days=2, requests_a_day=40)
    Traffic(traffic.payload, traffic.served.slice(0, 1), traffic.labels).write(
        watched.path / "data"
    )
    monitor(watched)
    versions = {row["model_version"] for row in metrics(watched, "profile_metrics").to_pylist()}
    assert "b" in versions
    folder = watched.path / "data/07_model_output/served_entities"
    write_deltalake(folder, traffic.served, mode="overwrite")
    monitor(watched)
    versions = {row["model_version"] for row in metrics(watched, "profile_metrics").to_pylist()}
    assert versions == {"1", "2"}


def test_column_that_is_missing_or_text_on_a_day_counts_as_null(watched: Project) -> None:
    day_after = {"request_date": DAY.date() + timedelta(days=1)}
    normal = [request(n, [HERO | {"height": 1.5 + n / 100}]) for n in range(20)]
    odd = [
        request(
            100 + n,
            [{k: v for k, v in HERO.items() if k != "gender"} | {"height": "tall", "weight": None}],
            request_time=DAY + timedelta(days=1, minutes=n),
            **day_after,
        )
        for n in range(20)
    ]
    write(watched, normal + odd, [])
    monitor(watched)
    for column in ("gender", "height", "weight"):
        first, second = overall(watched, column)
        assert (first["percent_null"], second["percent_null"]) == (0.0, 100.0)
        assert second["count"] == second["num_nulls"] == 20
    second = overall(watched, "height")[1]
    assert second["avg"] is second["min"] is second["median"] is None
    drift = [
        row
        for row in metrics(watched, "drift_metrics").to_pylist()
        if row["column_name"] == "height" and row["drift_type"] == "CONSECUTIVE"
        and row["slice_key"] is None
    ]  # fmt: skip
    assert [row["percent_null_delta"] for row in drift] == [100.0]
    assert drift[0]["ks_test"] is None or drift[0]["ks_test"]["statistic"] is None
    first, second = overall(watched, ":table")
    assert "height" in first["non_null_columns"]
    assert "height" not in second["non_null_columns"]


def test_new_version_within_a_window_and_labels_of_one_class(watched: Project) -> None:
    requests = [
        request(n, [HERO | {"page_id": f"P{n}"}], served_entity_id="a" if n < 30 else "b")
        for n in range(40)
    ]
    write(watched, requests, [(f"P{n}", "Alive") for n in range(40)])
    monitor(watched)
    (one,), (two,) = overall(watched, ":table", "1"), overall(watched, ":table", "2")
    assert (one["count"], two["count"]) == (30, 10)
    assert one["accuracy_score"] == 1.0
    assert one["roc_auc_score"] is None or one["roc_auc_score"]["one_vs_one"]["weighted"] is None


def test_request_dated_to_another_day_is_rejected_after_a_clock_jump(watched: Project) -> None:
    """The clock jumps back by a minute, and to days other than the request_date."""
    jumped = [
        request(1, [HERO], request_time=DAY + timedelta(minutes=9)),
        request(2, [HERO], request_time=DAY + timedelta(minutes=8)),
        request(3, [HERO], request_time=DAY - timedelta(minutes=1)),
        request(4, [HERO], request_time=DAY + timedelta(days=400)),
    ]
    write(watched, jumped, [])
    monitor(watched)
    (row,) = overall(watched, ":table")
    assert (row["window"]["start"], row["count"]) == (DAY, 2)
    assert reasons(watched) == {"its request_date is not the day of its request_time": 2}
    health = metrics(watched, "health_metrics").to_pylist()
    assert sum(found["requests"] for found in health) == 4


def test_windows_are_utc_days_on_a_local_day_of_23_hours(watched: Project) -> None:
    """Berlin is ahead of UTC and skips the hour from two to three on that night."""
    night = datetime(2026, 3, 28, 22, 30, tzinfo=UTC)
    times = [night + timedelta(hours=number) for number in range(4)]
    requests = [
        request(number, [HERO], request_time=time, request_date=time.date())
        for number, time in enumerate(times)
    ]
    write(watched, requests, [])
    now = "monitoring.now=2026-03-30T00:00:00+00:00"
    outcome = watched.kedro("run", "--pipelines", "monitoring", "--params", now, TZ="Europe/Berlin")
    assert outcome.status == 0, outcome.output
    days = {row["window"]["start"]: row["count"] for row in overall(watched, ":table")}
    assert days == {datetime(2026, 3, day, tzinfo=UTC): 2 for day in (28, 29)}
    assert not reasons(watched)


def test_requests_written_during_a_run_are_read_by_the_next(
    watched: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(watched, [request(n, [HERO]) for n in range(10)], [])
    read = records.read_served_entities

    def write_and_read(entities: Any) -> Any:
        late = pa.Table.from_pylist([request(n, [HERO]) for n in range(10, 15)], PAYLOAD_SCHEMA)
        write_deltalake(
            watched.path / "data/07_model_output/inference_payload", late, mode="append"
        )
        return read(entities)

    with monkeypatch.context() as patched:
        patched.setattr(records, "read_served_entities", write_and_read)
        monitor(watched)
    monitor(watched)
    (row,) = overall(watched, ":table")
    assert row["count"] == 15
    health = metrics(watched, "health_metrics").to_pylist()
    assert sum(row["requests"] for row in health) == 15


TEXTS = ("name", "universe", "identity", "gender", "marital_status", "teams", "origin", "page_id")
LONG = "x" * 1_000_000
ODD_TEXTS = ("a\0b", "\x1b[2J", "\u202ea", "\r\n\t", "", " ", "(other values)", LONG)
ODD_JSON = [
    *("1e308", "-1e308", "5e-324", "1e400", "-0.0", "NaN", "-Infinity", "1" + "0" * 400, "true"),
    *("null", "[1, [2]]", '{"a": {"b": []}}', "[" * 900 + "]" * 900, '"\\ud800"', '"1e308"'),
]


def test_no_value_of_a_client_stops_monitoring(watched: Project) -> None:
    """150 genders in one request, long and odd texts and numbers, ids, durations, entities.

    A body of millions of bytes is parsed if it was logged.
    """
    genders = [HERO | {"gender": f"g{n:03}"} for n in range(150)]
    odd: list[dict[str, Any]] = [
        *(
            {"request": body("dataframe_records", [dict.fromkeys(TEXTS, text)])}
            for text in ODD_TEXTS
        ),
        *({"request": f'{{"inputs": [{{"height": {v}, "gender": {v}}}]}}'} for v in ODD_JSON),
        *({"databricks_request_id": text} for text in ODD_TEXTS),
        *({"client_request_id": text} for text in ODD_TEXTS),
        *({"execution_duration_ms": number} for number in (-1, 0, 2**62)),
        *(
            {"served_entity_id": text}
            for text in ("", "a/../../b", "a=b\0", "\x1b[2J", LONG[:5000])
        ),
        {"request": '{"dataframe_split": {"columns": ["gender", "gender"], "data": [[1, [2]]]}}'},
    ]
    requests = [request(0, genders, response=answer([0.9] * 150)), request(1, [HERO] * 20)]
    requests += [request(2 + n, [HERO], **changed) for n, changed in enumerate(odd)]
    times = [
        datetime(year, month, 1, tzinfo=UTC) for year, month in ((1, 1), (9999, 12), (1970, 1))
    ]
    requests += [
        request(500 + n, [HERO], request_time=time, request_date=time.date())
        for n, time in enumerate(times)
    ]
    write(watched, requests, [(LONG, "Alive"), ("P1", LONG), ("\0", "Dead"), ("", "\x1b[2J")])
    outcome = watched.cli("--pipelines", "monitoring")
    assert outcome.status == 0, outcome.output[-3000:]
    output = " ".join(outcome.output.split())
    assert "gender has more than 100 values" in output
    assert "2 labels are neither Alive nor Dead" in output
    assert len(output) < 20_000
    assert "\x1b[2J" not in output
    assert not reasons(watched)
    assert "2 requests have no request_date from 1900 to 9000" in output
    counts = [row["count"] for row in overall(watched, ":table")]
    assert counts == [1, 170 + len(odd) - 5]
    assert overall(watched, "name")[-1]["max_length"] == len(LONG)
    rows = metrics(watched, "profile_metrics").to_pylist()
    of_gender = {
        row["slice_value"]: row["count"]
        for row in rows
        if (row["slice_key"], row["column_name"], row["log_type"]) == ("gender", ":table", "INPUT")
        and row["model_version"] == "1"
    }
    assert len(of_gender) == 101  # the 100 most frequent ones, and the others as one
    assert max(map(len, of_gender)) <= 200
    page = next(iter((watched.path / "data").rglob("monitoring_report.html"))).read_text()
    assert "more values than the 100 most frequent ones" in page
    assert len(page) < 300_000
