"""What people do about alerts: see them, acknowledge them, silence them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import evaluation
from marvel_kedro.monitoring.alerting.evaluation import Row
from marvel_kedro.monitoring.alerting.rules import SEVERITIES, AlertingOptions
from marvel_kedro.project.configuration import Configuration

_DURATION = re.compile(r"([0-9]+)([mhdw])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_STYLES = {"critical": "red", "warning": "yellow", "info": "blue"}


class AlertTables:
    """The alerts of an environment, and the actions that are written down about them.

    The table of alerts belongs to the pipeline; what is done here is a table of its own, which the
    next run applies and `current` applies at once.
    """

    def __init__(self, read: Configuration) -> None:
        self._read = read
        self._alerts = read.dataset("alerts")
        self._actions = read.dataset("alert_actions")

    def current(self, now: datetime) -> list[Row]:
        """The alerts as they are now, the worst and newest first."""
        acted = evaluation.act(self._alerts.load(), self._actions.load(), now).to_pylist()
        acted.sort(key=lambda row: row["since"], reverse=True)
        return sorted(acted, key=lambda row: -SEVERITIES.index(row["severity"]))

    def find(self, alert_id: str, now: datetime) -> Row:
        """The alert with an id, or with the beginning of one.

        Raises:
            ProjectError: There is none, there are several, or it is over.
        """
        found = [row for row in self.current(now) if row["alert_id"].startswith(alert_id)]
        if len(found) != 1 or not alert_id:
            fault = "Several alerts have" if found else "No alert has"
            raise ProjectError(
                f"{fault} an id that begins with '{alert_id}'. kedro alerts --all lists them."
            )
        if found[0]["state"] == evaluation.RESOLVED:
            raise ProjectError(f"The alert {found[0]['alert_id']} is resolved: nothing is to do.")
        return found[0]

    def acknowledge(self, alert_id: str, by: str, now: datetime) -> Row:
        """Write down that somebody looks after an alert.

        Returns:
            The alert.

        Raises:
            ProjectError: See `find`.
        """
        alert = self.find(alert_id, now)
        # A simulation may be ahead of the clock, and what was done before an alert is not about it.
        at = max(now, alert["first_seen"])
        self._add(
            {
                "at": at,
                "action": evaluation.ACKNOWLEDGE,
                "alert_id": alert["alert_id"],
                "by": by,
            }
        )
        return alert

    def silence(
        self, *, alert_id: str | None, rule: str | None, until: datetime, now: datetime, by: str
    ) -> None:
        """Write down that an alert, or all of a rule, are not to be heard for a while.

        Raises:
            ProjectError: See `find`; or there is no such rule.
        """
        if rule is not None:
            self._check_rule(rule)
        about = {"rule": rule} if alert_id is None else self._about(alert_id, now)
        self._add({"at": now, "action": evaluation.SILENCE, "by": by, "until": until} | about)

    def _about(self, alert_id: str, now: datetime) -> Row:
        return {"alert_id": self.find(alert_id, now)["alert_id"]}

    def _check_rule(self, rule: str) -> None:
        section = self._read.raw.get("alerting")
        remedy = "Mend them in conf/*/alerting/parameters.yml."
        rules = validate(AlertingOptions, section, remedy).active
        if rule not in rules:
            raise ProjectError(
                f"There is no rule '{rule}' (alerting.rules); there are {', '.join(rules)}."
            )

    def _add(self, action: Row) -> None:
        added = pa.Table.from_pylist([action], tables.ALERT_ACTIONS)
        self._actions.save(pa.concat_tables([self._actions.load(), added]))


def shown(rows: Sequence[Row]) -> Table:
    """Put alerts into a table for a terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("id", "severity", "state", "since"):
        table.add_column(heading, no_wrap=heading in ("id", "severity"))
    table.add_column("what", overflow="fold")
    for row in rows:
        style = _STYLES[row["severity"]] if row["state"] == evaluation.OPEN else "dim"
        table.add_row(
            row["alert_id"],
            row["severity"],
            escape(_state(row)),
            f"{row['since']:%Y-%m-%d %H:%M}",
            escape(f"{row['rule']}: {row['message']}"),
            style=style,
        )
    return table


def end_of_silence(until: datetime | None, duration: str | None, now: datetime) -> datetime:
    """When a silence ends.

    Args:
        until: A time without a zone, which is one of UTC; or
        duration: Such as `90m`, `12h`, `3d` or `2w`; `0m` ends a silence.
        now: When it begins.

    Raises:
        ProjectError: Both are given, or none, or it is no end.
    """
    if (until is None) == (duration is None):
        raise ProjectError("Say until when: --until 2026-01-31, or --for 3d.")
    if until is not None:
        end = until.replace(tzinfo=UTC)
        if end <= now:
            raise ProjectError(f"--until {until}: that is over. --for 0m ends a silence.")
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
    details: dict[str, Any] = {
        evaluation.ACKNOWLEDGED: f"\nby {row['acknowledged_by']}",
        evaluation.SILENCED: f"\nuntil {row['silenced_until']:%Y-%m-%d %H:%M}"
        if row["silenced_until"]
        else "",
    }
    return row["state"] + details.get(row["state"], "")
