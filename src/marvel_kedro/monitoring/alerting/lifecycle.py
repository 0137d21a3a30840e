"""States of an alert, from one evaluation to the next and under the actions of people."""

import hashlib
from collections.abc import Iterable
from datetime import datetime
from itertools import count
from typing import Any

import pyarrow as pa

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting.observations import Subject

OPEN, ACKNOWLEDGED, SILENCED, RESOLVED = "open", "acknowledged", "silenced", "resolved"
ACKNOWLEDGE, SILENCE = "acknowledge", "silence"

Row = dict[str, Any]
"""A row of `tables.ALERTS` or `tables.ALERT_ACTIONS`."""


def firing(alerts: pa.Table) -> list[Row]:
    """Return the alerts that are open or acknowledged: neither silenced nor resolved."""
    return [row for row in alerts.to_pylist() if row["state"] in (OPEN, ACKNOWLEDGED)]


def apply_actions(alerts: pa.Table, actions: pa.Table, now: datetime) -> pa.Table:
    """Apply acknowledgements and silences, and end the silences that are over.

    Args:
        alerts: `tables.ALERTS`.
        actions: `tables.ALERT_ACTIONS`, in any order. A silence of a rule also applies to its
            future alerts; the latest silence counts.
        now: Silences that end later are in force.

    Returns:
        The alerts with their current states. Applying the actions again changes nothing.
    """
    rows = alerts.to_pylist()
    ordered = sorted(actions.to_pylist(), key=lambda action: action["at"])
    for row in rows:
        if row["state"] == RESOLVED:
            continue
        for action in ordered:
            _apply(action, row)
        row["state"] = _state(row, now)
    return alerts_table(rows)


def alerts_table(rows: Iterable[Row]) -> pa.Table:
    """Make `tables.ALERTS` of rows, ordered by time, rule and subject."""
    ordered = sorted(
        rows,
        key=lambda row: (row["since"], row["rule"], *(row[name] or "" for name in Subject._fields)),
    )
    return pa.Table.from_pylist(ordered, tables.ALERTS)


class PreviousAlerts:
    """Alerts of the previous evaluation, each continued by at most one new row.

    Args:
        alerts: `tables.ALERTS`.
    """

    def __init__(self, alerts: pa.Table) -> None:
        rows = tables.conform(alerts, tables.ALERTS).to_pylist()
        self._ids = {row["alert_id"] for row in rows}
        self._rows: dict[tuple[Any, ...], list[Row]] = {}
        for row in rows:
            self._rows.setdefault(_key(row), []).append(row)

    def add_history(self, row: Row, now: datetime, *, ongoing: bool) -> Row:
        """Complete an alert with its id, state and actions.

        Args:
            row: What the metrics give.
            now: `first_seen` of a new alert.
            ongoing: The rule still fires. A resolved alert that fires again starts without its
                acknowledgement and notification.
        """
        old = self._take(row)
        history = {
            "alert_id": old["alert_id"] if old else self._new_id(row),
            "first_seen": now,
            "acknowledged_by": None,
            "acknowledged_at": None,
            "silenced_until": old["silenced_until"] if old else None,
            "notified_at": None,
        }
        if old and not (old["state"] == RESOLVED and ongoing):
            history = {key: old[key] for key in history}
        row |= history
        return row | {"state": _state(row, now) if ongoing else RESOLVED}

    def resolved(self) -> list[Row]:
        """Return the alerts that no new row continues, as resolved."""
        return [row | {"state": RESOLVED} for rows in self._rows.values() for row in rows]

    def _take(self, row: Row) -> Row | None:
        """Remove and return the latest alert on the same subject whose windows overlap."""
        known = self._rows.get(_key(row), [])
        overlapping = [
            old
            for old in known
            if old["since"] < row["window"]["end"] and row["since"] < old["window"]["end"]
        ]
        if not overlapping:
            return None
        taken = max(
            overlapping, key=lambda old: (old["since"] == row["since"], old["window"]["end"])
        )
        known.remove(taken)
        return taken

    def _new_id(self, row: Row) -> str:
        """Derive a unique id from the subject and the start of the alert."""
        about = [*_key(row), row["since"].isoformat()]
        for number in count():
            text = "\x1f".join(map(str, [*about, number] if number else about))
            found = hashlib.sha256(text.encode()).hexdigest()[:12]
            if found not in self._ids:
                self._ids.add(found)
                return found
        raise AssertionError


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("rule", "granularity", *Subject._fields))


def _apply(action: Row, row: Row) -> None:
    if action["alert_id"] != row["alert_id"] and (
        action["rule"] is None or action["rule"] != row["rule"]
    ):
        return
    if action["action"] == ACKNOWLEDGE and action["at"] >= row["first_seen"]:
        row |= {"acknowledged_by": action["by"], "acknowledged_at": action["at"]}
    if action["action"] == SILENCE:
        row["silenced_until"] = action["until"]


def _state(row: Row, now: datetime) -> str:
    if row["silenced_until"] is not None and row["silenced_until"] > now:
        return SILENCED
    return OPEN if row["acknowledged_at"] is None else ACKNOWLEDGED
