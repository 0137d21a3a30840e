"""Acknowledgement and silencing of alerts, for `kedro alerts`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import lifecycle
from marvel_kedro.monitoring.alerting.lifecycle import Row
from marvel_kedro.monitoring.alerting.rules import AlertingOptions, severity_rank
from marvel_kedro.monitoring.names import shown

_DURATION = re.compile(r"([0-9]+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_STYLES = {"critical": "red", "warning": "yellow", "info": "blue"}


class TableStore(Protocol):
    """A dataset of the catalog that loads and saves a table."""

    def load(self) -> pa.Table:
        """Load the table."""

    def save(self, data: pa.Table, /) -> None:
        """Save the table."""


@dataclass(frozen=True)
class AlertTables:
    """The tables `alerts` and `alert_actions`, and the unchecked section `alerting`.

    The pipeline alone writes the table of alerts. Actions are a table of their own: the next run of
    the pipeline applies them, and `current` applies them at once.
    """

    alerts: TableStore
    actions: TableStore
    section: Any

    def current(self, now: datetime) -> list[Row]:
        """Return the alerts in their current states, highest severity and newest first."""
        rows = lifecycle.apply_actions(self.alerts.load(), self.actions.load(), now).to_pylist()
        return sorted(
            rows, key=lambda row: (severity_rank(row["severity"]), row["since"]), reverse=True
        )

    def find(self, alert_id: str, now: datetime) -> Row:
        """Return the alert with an id, or with the beginning of one.

        Raises:
            ProjectError: No alert or several alerts match, or the alert is resolved.
        """
        found = [row for row in self.current(now) if row["alert_id"].startswith(alert_id)]
        if len(found) != 1 or not alert_id:
            subject = "Several alerts have" if found else "No alert has"
            raise ProjectError(
                f"{subject} an id that begins with '{alert_id}'. kedro alerts --all lists them."
            )
        if found[0]["state"] == lifecycle.RESOLVED:
            raise ProjectError(f"The alert {found[0]['alert_id']} is already resolved.")
        return found[0]

    def acknowledge(self, alert_id: str, by: str, now: datetime) -> Row:
        """Save the acknowledgement of an alert, and return the alert.

        Raises:
            ProjectError: See `find`.
        """
        alert = self.find(alert_id, now)
        # A simulation may be ahead of the clock, and an action before the alert would not apply.
        at = max(now, alert["first_seen"])
        self._add(lifecycle.ACKNOWLEDGE, alert_id=alert["alert_id"], at=at, by=by)
        return alert

    def silence(
        self, *, alert_id: str | None, rule: str | None, until: datetime, now: datetime, by: str
    ) -> None:
        """Save the silence of an alert, or of all alerts of a rule.

        Raises:
            ProjectError: See `find`; or there is no such rule.
        """
        if rule is not None:
            remedy = "Correct them in conf/*/alerting/parameters.yml."
            rules = validate(AlertingOptions, self.section, remedy).active
            if rule not in rules:
                raise ProjectError(
                    f"There is no rule '{rule}' (alerting.rules); there are {', '.join(rules)}."
                )
        if alert_id is not None:
            alert_id, rule = self.find(alert_id, now)["alert_id"], None
        self._add(lifecycle.SILENCE, alert_id=alert_id, rule=rule, at=now, by=by, until=until)

    def _add(self, action: str, **columns: object) -> None:
        added = pa.Table.from_pylist([columns | {"action": action}], tables.ALERT_ACTIONS)
        self.actions.save(pa.concat_tables([self.actions.load(), added]))


def terminal_table(rows: Sequence[Row]) -> Table:
    """Render alerts as a table for the terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("id", "severity", "state", "since", "what"):
        table.add_column(heading, no_wrap=heading in ("id", "severity"), overflow="fold")
    for row in rows:
        style = _STYLES.get(row["severity"], "red") if row["state"] == lifecycle.OPEN else "dim"
        since = f"{row['since']:%Y-%m-%d %H:%M}"
        what = shown(f"{row['rule']}: {row['message']}", 500)
        if row["state"] == lifecycle.RESOLVED and row["resolution"]:
            what = f"{what}\nresolved: {row['resolution']}"
        severity = shown(row["severity"])
        cells = (row["alert_id"], escape(severity), escape(_state(row)), since, escape(what))
        table.add_row(*cells, style=style)
    return table


def end_of_silence(until: datetime | None, duration: str | None, now: datetime) -> datetime:
    """Return the end of a silence that starts `now`.

    It is `until`, in UTC without a time zone, or follows from a `duration` such as `90m`, `12h`,
    `3d` or `2w`; `0m` ends a silence.

    Raises:
        ProjectError: Both or neither are given, the end is in the past, or the duration is invalid.
    """
    if (until is None) == (duration is None):
        raise ProjectError("Give the end of the silence: --until 2026-01-31, or --for 3d.")
    if until is not None:
        end = until.replace(tzinfo=UTC)
        if end <= now:
            raise ProjectError(f"--until {until} is in the past. --for 0m ends a silence.")
        return end
    found = _DURATION.fullmatch(str(duration).strip())
    if found is None:
        raise ProjectError(
            f"--for {duration}: write a number and one of {', '.join(_UNITS)}, such as 12h or 3d."
        )
    try:
        return now + timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise ProjectError(f"--for {duration} is too long.") from None


def _state(row: Row) -> str:
    if row["state"] == lifecycle.ACKNOWLEDGED:
        return f"{row['state']}\nby {row['acknowledged_by']}"
    if row["state"] == lifecycle.SILENCED and row["silenced_until"]:
        return f"{row['state']}\nuntil {row['silenced_until']:%Y-%m-%d %H:%M}"
    return str(row["state"])
