"""`kedro alerts`: list, acknowledge and silence alerts."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.project import Outcome, Project

from marvel_kedro import cli
from marvel_kedro.monitoring import tables

NOW = datetime.now(UTC)
DAY = timedelta(days=1)
REPORTS = Path("data", "08_reporting")


def alert(alert_id: str, **other: Any) -> dict[str, Any]:
    return {
        "alert_id": alert_id,
        "rule": "input_drift",
        "severity": "warning",
        "state": "open",
        "message": f"[bold] of {alert_id}",
        "since": NOW - 3 * DAY,
        "window": {"start": NOW - 2 * DAY, "end": NOW - DAY},
        "first_seen": NOW - 2 * DAY,
    } | other


@pytest.fixture
def alerted(project: Project) -> Project:
    """A project with alerts."""
    rows = [
        alert("aaa111"),
        alert("aab222", rule="errors", severity="critical"),
        alert("ccc333", state="resolved"),
    ]
    table = pa.Table.from_pylist(rows, tables.ALERTS)
    pq.write_table(table, project.path / REPORTS / "alerts.parquet")
    return project


def alerts(project: Project, *words: str) -> Outcome:
    outcome = project.cli(*words, command=cli.alerts)
    return Outcome(outcome.status, re.sub(r"\s+", " ", outcome.output))


def actions(project: Project) -> list[dict[str, Any]]:
    path = project.path / REPORTS / "alert_actions.parquet"
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def test_list_shows_highest_severity_first_and_resolved_alerts_with_all(alerted: Project) -> None:
    shown = alerts(alerted).output
    assert shown.index("aab222") < shown.index("aaa111")
    assert "ccc333" not in shown
    assert "input_drift: [bold] of aaa111" in shown
    assert "2 alerts; --all shows 1 resolved" in shown
    shown = alerts(alerted, "--all").output
    assert "ccc333" in shown
    assert shown.endswith("3 alerts ")


@pytest.mark.parametrize("width", [40, 50, 60, 80, 200])
def test_list_cuts_no_id_state_or_date_in_a_narrow_terminal(
    width: int, alerted: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    alerts(alerted, "ack", "aaa", "--by", "an.engineer.with.a.long.name@example.com")
    text = alerts(alerted, "--all").output
    assert "…" not in text
    for part in ("aaa111", "aab222", "ccc333", "critical", f"{NOW - 3 * DAY:%Y-%m-%d}"):
        assert part in text, part


def test_list_in_a_subfolder_shows_no_warnings_of_libraries(alerted: Project) -> None:
    """Kedro looks for conf/logging.yml in the current folder alone."""
    outcome = Project(alerted.path / "data").kedro("alerts")
    assert outcome.status == 0
    assert "2 alerts; --all shows 1 resolved" in outcome.output
    assert "WARNING" not in outcome.output


def test_list_is_empty_without_a_table(project: Project) -> None:
    assert alerts(project).output == "0 alerts "


def test_ack_finds_the_alert_by_the_beginning_of_its_id(alerted: Project) -> None:
    outcome = alerts(alerted, "ack", "aaa", "--by", "Eve")
    assert outcome == Outcome(0, "aaa111 (input_drift) is acknowledged by Eve. ")
    (action,) = actions(alerted)
    assert (action["action"], action["alert_id"], action["by"]) == ("acknowledge", "aaa111", "Eve")
    assert "acknowledged" in alerts(alerted).output
    # Only the pipeline writes its table; its next run applies the action.
    written = pq.read_table(alerted.path / REPORTS / "alerts.parquet")
    assert written["state"].to_pylist() == ["open", "open", "resolved"]


def test_silence_covers_an_alert_or_a_rule_until_its_end(alerted: Project) -> None:
    assert alerts(alerted, "silence", "aab222", "--for", "12h").status == 0
    assert alerts(alerted, "silence", "--rule", "input_drift", "--until", "2999-01-31").status == 0
    first, second = actions(alerted)
    assert first["until"] - first["at"] == timedelta(hours=12)
    assert (second["rule"], second["alert_id"]) == ("input_drift", None)
    assert second["until"] == datetime(2999, 1, 31, tzinfo=UTC)
    shown = alerts(alerted).output
    assert shown.count("silenced") == 2
    assert "2999-01-31" in shown
    ended = alerts(alerted, "silence", "aab222", "--for", "0m")
    assert (ended.status, ended.output.strip()) == (0, "aab222 is no longer silenced.")
    assert alerts(alerted).output.count("silenced") == 1


def test_ack_applies_to_an_alert_first_seen_in_the_future(project: Project) -> None:
    table = pa.Table.from_pylist([alert("aaa111", first_seen=NOW + 9 * DAY)], tables.ALERTS)
    pq.write_table(table, project.path / REPORTS / "alerts.parquet")
    assert alerts(project, "ack", "aaa111", "--by", "Eve").status == 0
    assert "acknowledged" in alerts(project).output


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ack", "zzz", "--by", "Eve"], "No alert has an id that begins with 'zzz'"),
        (["ack", "aa", "--by", "Eve"], "Several alerts have an id that begins with 'aa'"),
        (["ack", "", "--by", "Eve"], "an id that begins with ''"),
        (["ack", "ccc333", "--by", "Eve"], "The alert ccc333 is already resolved"),
        (["ack", "aaa111"], "Missing option '--by'"),
        (["silence", "aaa111"], "Give the end of the silence"),
        (
            ["silence", "aaa111", "--for", "1d", "--until", "2999-01-01"],
            "Give the end of the silence",
        ),
        (["silence", "--for", "1d"], "Name an alert, or a rule"),
        (["silence", "aaa111", "--rule", "errors", "--for", "1d"], "Name an alert, or a rule"),
        (["silence", "aaa111", "--for", "1y"], "--for 1y: write a number and one of m, h, d, w"),
        (["silence", "aaa111", "--for", f"1{'0' * 30}w"], "is too long"),
        (["silence", "aaa111", "--until", "2020-01-01"], "is in the past"),
        (["silence", "--rule", "error", "--for", "1d"], "There is no rule 'error'"),
    ],
)
def test_invalid_command_fails_with_the_reason_and_writes_nothing(
    alerted: Project, words: list[str], expected: str
) -> None:
    outcome = alerts(alerted, *words)
    assert outcome.status > 0
    assert expected in outcome.output
    assert not (alerted.path / REPORTS / "alert_actions.parquet").exists()
