"""Notification of alerts to a webhook on loopback, over HTTP."""

import logging
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from support import webhook_receiver
from support.webhook_receiver import SECRET, Receiver

from marvel_kedro.core.errors import without_password
from marvel_kedro.datasets.webhook import WebhookDataset
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import notification
from marvel_kedro.monitoring.alerting.rules import NotificationOptions
from marvel_kedro.monitoring.alerting.webhook import Webhook

NOW = datetime(2026, 3, 1, tzinfo=UTC)
OPTIONS = NotificationOptions(seconds=2, pause_seconds=0.01)
JSON = OPTIONS.model_copy(update={"format": "json"})


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with webhook_receiver.running() as running:
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


def test_open_alert_is_notified_once_from_min_severity_on(receiver: Receiver) -> None:
    rows = [
        alert(0),
        alert(1, severity="critical"),
        alert(2, severity="info"),
        alert(3, state="acknowledged"),
        alert(4, state="silenced"),
        alert(5, state="resolved"),
        alert(6, notified_at=NOW - timedelta(hours=1)),
    ]
    sent = notification.notify(table(*rows), Webhook(receiver.url), JSON, NOW, "heroes")
    assert notified(sent) == [True, True, False, False, False, False, True]
    (message,) = receiver.messages
    assert receiver.content_types == ["application/json"]
    assert message["text"] == "heroes: 2 new alerts (1 critical, 1 warning)"
    assert [row["alert_id"] for row in message["alerts"]] == ["id-1", "id-0"]
    assert set(message["alerts"][0]) == set(tables.ALERTS.names)
    assert message["alerts"][0]["window"]["end"] == "2026-03-01T00:00:00+00:00"
    again = notification.notify(
        sent, Webhook(receiver.url), JSON, NOW + timedelta(days=1), "heroes"
    )
    assert again.equals(sent)
    assert len(receiver.messages) == 1


def test_slack_message_is_escaped_and_within_the_limits_of_slack(receiver: Receiver) -> None:
    rows = [alert(0, message="a < b & c > d" * 500), *(alert(number) for number in range(1, 50))]
    notification.notify(table(*rows), Webhook(receiver.url), OPTIONS, NOW, "heroes")
    assert [len(message["blocks"]) for message in receiver.messages] == [41, 11]
    for message in receiver.messages:
        assert set(message) == {"text", "blocks"}
        heading, *sections = message["blocks"]
        assert heading["type"] == "header"
        assert heading["text"] == {"type": "plain_text", "text": message["text"]}
        assert len(message["text"]) <= 150
        for section in sections:
            assert section["type"] == "section"
            assert section["text"]["type"] == "mrkdwn"
            assert len(section["text"]["text"]) <= 3000
    first = receiver.messages[0]["blocks"][1]["text"]["text"]
    assert first.startswith("*warning* drift (`id-0`)\na &lt; b &amp; c &gt; da")


def test_delivery_is_retried_after_503_and_429(receiver: Receiver) -> None:
    receiver.statuses = [503, 429]
    sent = notification.notify(table(alert(0)), Webhook(receiver.url), OPTIONS, NOW, "heroes")
    assert notified(sent) == [True]
    assert len(receiver.messages) == 3


@pytest.mark.parametrize(
    ("statuses", "tries", "expected"),
    [
        ([500] * 9, 3, "it answered with status 500"),
        ([404], 1, "it answered with status 404"),
        ([302], 1, "it answered with status 302"),  # the address is not passed on to a redirect
    ],
)
def test_failed_delivery_is_logged_and_repeated_by_the_next_run(
    receiver: Receiver,
    statuses: list[int],
    tries: int,
    expected: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.statuses = statuses
    rows = table(alert(0))
    with caplog.at_level(logging.WARNING):
        sent = notification.notify(rows, Webhook(receiver.url), OPTIONS, NOW, "heroes")
    assert sent.equals(rows)
    assert len(receiver.messages) == tries
    assert f"1 new alert not sent to the webhook (MARVEL_ALERT_WEBHOOK): {expected}" in (
        caplog.text
    )
    receiver.statuses = []
    assert notified(notification.notify(sent, Webhook(receiver.url), OPTIONS, NOW, "heroes")) == [
        True
    ]


def test_notified_at_is_set_for_delivered_messages_only(receiver: Receiver) -> None:
    receiver.statuses = [200, 400, 200]
    rows = table(*(alert(number) for number in range(100)))
    sent = notification.notify(rows, Webhook(receiver.url), OPTIONS, NOW, "heroes")
    assert notified(sent) == [True] * 40 + [False] * 60
    assert len(receiver.messages) == 2


def test_address_is_in_no_log_message_or_representation(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed_port = f"http://127.0.0.1:{free.getsockname()[1]}/{SECRET}"
        receiver.statuses, receiver.seconds = [500, 404], 0
        with caplog.at_level(logging.INFO):
            for url in (
                receiver.url,
                closed_port,
                f"gopher://{SECRET}",
                f"http://[{SECRET}",
                SECRET,
            ):
                tries = OPTIONS.model_copy(update={"tries": 2})
                sent = notification.notify(table(alert(0)), Webhook(url), tries, NOW, "heroes")
                assert notified(sent) == [False]
    assert caplog.text.count("not sent to the webhook") == 5
    assert "no connection" in caplog.text
    assert caplog.text.count("not a valid address") == 3
    assert SECRET not in caplog.text
    dataset = WebhookDataset(credentials={"url": receiver.url})
    assert SECRET not in f"{dataset} {dataset!r} {dataset.load()} {dataset._describe()}"


def test_delivery_times_out_when_the_server_does_not_answer(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.seconds = 1
    slow = OPTIONS.model_copy(update={"seconds": 0.1, "tries": 2})
    with caplog.at_level(logging.WARNING):
        sent = notification.notify(table(alert(0)), Webhook(receiver.url), slow, NOW, "heroes")
    assert notified(sent) == [False]
    assert "no answer within 0.1 s" in caplog.text


@pytest.mark.parametrize("url", [None, ""])
def test_missing_address_is_logged_only_if_there_are_new_alerts(
    url: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    rows = table(alert(0), alert(1))
    with caplog.at_level(logging.INFO):
        assert notification.notify(rows, Webhook(url), OPTIONS, NOW, "heroes").equals(rows)
        assert "2 new alerts not sent: MARVEL_ALERT_WEBHOOK is not set" in caplog.text
        caplog.clear()
        resolved = table(alert(0, state="resolved"))
        assert notification.notify(resolved, Webhook(url), OPTIONS, NOW, "heroes").equals(resolved)
    assert caplog.text == ""


def test_error_messages_mask_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARVEL_ALERT_WEBHOOK", f"https://hooks.example/{SECRET}")
    assert SECRET not in without_password(f"no such https://hooks.example/{SECRET} at all")
