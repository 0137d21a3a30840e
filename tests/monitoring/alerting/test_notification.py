"""Alerts told to people, over real HTTP."""

import logging
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from support import webhook_receiver as webhook
from support.webhook_receiver import SECRET, Hook

from marvel_kedro.core.errors import without_password
from marvel_kedro.datasets.webhook import WebhookDataset
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import notification
from marvel_kedro.monitoring.alerting.notification import Webhook
from marvel_kedro.monitoring.alerting.rules import NotificationOptions

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OPTIONS = NotificationOptions(seconds=2, pause_seconds=0.01)
JSON = OPTIONS.model_copy(update={"format": "json"})


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook.running() as running:
        yield running


def alert(number: int, **other: Any) -> dict[str, Any]:
    return {
        "alert_id": f"id-{number}",
        "rule": "drift",
        "severity": "warning",
        "state": "open",
        "message": f"message {number}",
        "window": {"start": NOW - timedelta(days=1), "end": NOW},
        "since": NOW - timedelta(days=1),
        "first_seen": NOW,
    } | other


def table(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), tables.ALERTS)


def notified(alerts: pa.Table) -> list[bool]:
    return [time is not None for time in alerts["notified_at"].to_pylist()]


def test_each_open_alert_is_told_once(hook: Hook) -> None:
    rows = [
        alert(0),
        alert(1, severity="critical"),
        alert(2, severity="info"),
        alert(3, state="acknowledged"),
        alert(4, state="silenced"),
        alert(5, state="resolved"),
        alert(6, notified_at=NOW - timedelta(hours=1)),
    ]
    told = notification.tell(table(*rows), Webhook(hook.url), JSON, NOW)
    assert notified(told) == [True, True, False, False, False, False, True]
    (message,) = hook.got
    assert hook.types == ["application/json"]
    assert message["text"] == "marvel_kedro: 2 new alerts (1 critical, 1 warning)"
    assert [row["alert_id"] for row in message["alerts"]] == ["id-1", "id-0"]
    assert set(message["alerts"][0]) == set(tables.ALERTS.names)
    assert message["alerts"][0]["window"]["end"] == "2026-03-01T00:00:00+00:00"
    again = notification.tell(told, Webhook(hook.url), JSON, NOW + timedelta(days=1))
    assert again.equals(told)
    assert len(hook.got) == 1


def test_a_message_as_slack_takes_it(hook: Hook) -> None:
    rows = [alert(0, message="a < b & c > d" * 500), *(alert(number) for number in range(1, 50))]
    notification.tell(table(*rows), Webhook(hook.url), OPTIONS, NOW)
    assert [len(message["blocks"]) for message in hook.got] == [41, 11]
    for message in hook.got:
        assert set(message) == {"text", "blocks"}
        heading, *sections = message["blocks"]
        assert heading["type"] == "header"
        assert heading["text"] == {"type": "plain_text", "text": message["text"]}
        assert len(message["text"]) <= 150
        for section in sections:
            assert section["type"] == "section"
            assert section["text"]["type"] == "mrkdwn"
            assert len(section["text"]["text"]) <= 3000
    first = hook.got[0]["blocks"][1]["text"]["text"]
    assert first.startswith("*warning* drift (`id-0`)\na &lt; b &amp; c &gt; da")


def test_what_may_pass_by_is_tried_again(hook: Hook) -> None:
    hook.statuses = [503, 429]
    told = notification.tell(table(alert(0)), Webhook(hook.url), OPTIONS, NOW)
    assert notified(told) == [True]
    assert len(hook.got) == 3


@pytest.mark.parametrize(
    ("statuses", "tries", "said"),
    [
        ([500] * 9, 3, "it answered with status 500"),
        ([404], 1, "it answered with status 404"),
        ([302], 1, "it answered with status 302"),  # nobody sent the address elsewhere
    ],
)
def test_what_does_not_arrive_is_said_and_told_the_next_time(
    hook: Hook,
    statuses: list[int],
    tries: int,
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    hook.statuses = statuses
    rows = table(alert(0))
    with caplog.at_level(logging.WARNING):
        told = notification.tell(rows, Webhook(hook.url), OPTIONS, NOW)
    assert told.equals(rows)
    assert len(hook.got) == tries
    assert f"1 new alert could not be told: the webhook (MARVEL_ALERT_WEBHOOK): {said}" in (
        caplog.text
    )
    hook.statuses = []
    assert notified(notification.tell(told, Webhook(hook.url), OPTIONS, NOW)) == [True]


def test_what_arrived_of_many_messages_is_noted(hook: Hook) -> None:
    hook.statuses = [200, 400, 200]
    rows = table(*(alert(number) for number in range(100)))
    told = notification.tell(rows, Webhook(hook.url), OPTIONS, NOW)
    assert notified(told) == [True] * 40 + [False] * 60
    assert len(hook.got) == 2


def test_nothing_says_the_address(hook: Hook, caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/{SECRET}"
        hook.statuses, hook.seconds = [500, 404], 0
        with caplog.at_level(logging.INFO):
            for url in (hook.url, nobody, f"gopher://{SECRET}", f"http://[{SECRET}", SECRET):
                tries = OPTIONS.model_copy(update={"tries": 2})
                told = notification.tell(table(alert(0)), Webhook(url), tries, NOW)
                assert notified(told) == [False]
    assert caplog.text.count("could not be told") == 5
    assert "no connection" in caplog.text
    assert caplog.text.count("no address to post to") == 3
    assert SECRET not in caplog.text
    dataset = WebhookDataset(credentials={"url": hook.url})
    assert SECRET not in f"{dataset} {dataset!r} {dataset.load()} {dataset._describe()}"


def test_a_server_that_does_not_answer_is_not_waited_for(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    hook.seconds = 1
    slow = OPTIONS.model_copy(update={"seconds": 0.1, "tries": 2})
    with caplog.at_level(logging.WARNING):
        told = notification.tell(table(alert(0)), Webhook(hook.url), slow, NOW)
    assert notified(told) == [False]
    assert "no answer within 0.1 s" in caplog.text


@pytest.mark.parametrize("url", [None, ""])
def test_without_an_address_it_says_so(url: str | None, caplog: pytest.LogCaptureFixture) -> None:
    rows = table(alert(0), alert(1))
    with caplog.at_level(logging.INFO):
        assert notification.tell(rows, Webhook(url), OPTIONS, NOW).equals(rows)
        assert "2 new alerts to tell, and no address: set MARVEL_ALERT_WEBHOOK" in caplog.text
        caplog.clear()
        calm = table(alert(0, state="resolved"))
        assert notification.tell(calm, Webhook(url), OPTIONS, NOW).equals(calm)
    assert caplog.text == ""


def test_messages_for_people_leave_the_address_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARVEL_ALERT_WEBHOOK", f"https://hooks.example/{SECRET}")
    assert SECRET not in without_password(f"no such https://hooks.example/{SECRET} at all")
