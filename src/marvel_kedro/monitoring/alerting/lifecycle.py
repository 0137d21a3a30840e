"""States of an alert, from one evaluation to the next and under the actions of people."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from itertools import chain, count
from operator import itemgetter
from typing import Any

import pyarrow as pa

from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting.observations import Subject

OPEN, ACKNOWLEDGED, SILENCED, RESOLVED = "open", "acknowledged", "silenced", "resolved"
ACKNOWLEDGE, SILENCE = "acknowledge", "silence"
_WITHDRAWN = "the rule or the metrics have changed: it no longer fires"

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
    ordered = sorted(actions.to_pylist(), key=itemgetter("at"))
    for row in rows:
        if row["state"] != RESOLVED:
            for action in ordered:
                _apply(action, row)
            row["state"] = _state(row, now)
    return _alerts_table(rows)


def continue_alerts(found: Iterable[Row], previous: pa.Table, now: datetime) -> pa.Table:
    """Give alerts the ids, states and actions that they had in the previous evaluation.

    Each previous alert is continued by at most one; one that no alert continues is resolved.

    Args:
        found: What the metrics give; `resolution` is None if the rule still fires. A resolved alert
            that fires again starts without its acknowledgement and notification.
        previous: `tables.ALERTS`.
        now: `first_seen` of a new alert.
    """
    rows = tables.conform(previous, tables.ALERTS).to_pylist()
    ids = {row["alert_id"] for row in rows}
    known: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        known[_key(row)].append(row)
    continued = []
    for row in found:
        ongoing = row["resolution"] is None
        old = _take(known[_key(row)], row)
        history = {
            "alert_id": old["alert_id"] if old else _new_id(row, ids),
            "first_seen": now,
            "acknowledged_by": None,
            "acknowledged_at": None,
            "silenced_until": old["silenced_until"] if old else None,
            "notified_at": None,
        }
        if old and not (old["state"] == RESOLVED and ongoing):
            history = {key: old[key] for key in history}
        ids.add(history["alert_id"])
        state = _state(history, now) if ongoing else RESOLVED
        continued.append(row | history | {"state": state})
    gone = [
        row | {"state": RESOLVED, "resolution": row["resolution"] or _WITHDRAWN}
        for row in chain.from_iterable(known.values())
    ]
    return _alerts_table(continued + gone)


def _alerts_table(rows: list[Row]) -> pa.Table:
    """Order alerts by time, rule and subject."""
    rows.sort(key=lambda row: (row["since"], row["rule"], *(row[n] or "" for n in Subject._fields)))
    return pa.Table.from_pylist(rows, tables.ALERTS)


def _take(known: list[Row], row: Row) -> Row | None:
    """Remove and return the latest alert whose windows overlap with those of the row."""
    overlapping = [
        old
        for old in known
        if old["since"] < row["window"]["end"] and row["since"] < old["window"]["end"]
    ]
    if not overlapping:
        return None
    taken = max(overlapping, key=lambda old: (old["since"] == row["since"], old["window"]["end"]))
    known.remove(taken)
    return taken


def _new_id(row: Row, ids: set[str]) -> str:
    """Derive a unique id from the subject and the start of the alert."""
    about = [*map(str, _key(row)), row["since"].isoformat()]
    texts = ("\x1f".join([*about, str(number)] if number else about) for number in count())
    digests = (hashlib.sha256(text.encode()).hexdigest()[:12] for text in texts)
    return next(digest for digest in digests if digest not in ids)


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("rule", "granularity", *Subject._fields))


def _apply(action: Row, row: Row) -> None:
    if action["alert_id"] != row["alert_id"] and action["rule"] != row["rule"]:
        return
    if action["action"] == ACKNOWLEDGE and action["at"] >= row["first_seen"]:
        row |= {"acknowledged_by": action["by"], "acknowledged_at": action["at"]}
    if action["action"] == SILENCE:
        row["silenced_until"] = action["until"]


def _state(row: Row, now: datetime) -> str:
    if row["silenced_until"] is not None and row["silenced_until"] > now:
        return SILENCED
    return OPEN if row["acknowledged_at"] is None else ACKNOWLEDGED
