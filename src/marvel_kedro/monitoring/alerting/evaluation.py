"""Evaluation of alert rules: from tables of metrics to alerts."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter

import pyarrow as pa

from marvel_kedro.core.rounding import rounded
from marvel_kedro.monitoring import tables
from marvel_kedro.monitoring.alerting import observations
from marvel_kedro.monitoring.alerting.lifecycle import Row, continue_alerts
from marvel_kedro.monitoring.alerting.observations import Metrics, Observation, Subject
from marvel_kedro.monitoring.alerting.rules import AlertingOptions, Rule
from marvel_kedro.monitoring.names import shown

_ALARM = {">": "alarm above", ">=": "alarm at", "<": "alarm below", "<=": "alarm at"}


def evaluate(  # noqa: PLR0913, PLR0917 - what alerts depend on
    metrics: Metrics,
    options: AlertingOptions,
    previous: pa.Table,
    now: datetime,
    retired: Collection[str] = (),
    label: str = "",
) -> pa.Table:
    """Evaluate the rules on the metrics.

    An alert is an episode of consecutive windows in which its rule fires. It is open until the rule
    does not fire in a window, until its subject has been absent for some windows, or until its
    model version is retired: no training and no shift of traffic could end it then. A window that
    cannot be evaluated (too few records, no value) changes nothing. A rule that fires again after
    that raises another alert. Where late records or labels change past windows, an alert keeps its
    id as long as its windows overlap with those before.

    Args:
        metrics: The tables of `rules.SCHEMAS` by name; an absent one has no rows.
        options: The rules.
        previous: `tables.ALERTS` of the previous evaluation.
        now: Windows that end later are incomplete and ignored.
        retired: Model versions that no endpoint serves any more.
        label: The column of the label, which a rule about all columns leaves out.

    Returns:
        `tables.ALERTS`, ordered by time, rule and subject. Repeating it changes nothing.
    """
    found = [
        _alert(name, rule, subject, windows) | {"resolution": resolution}
        for name, rule in options.active.items()
        for subject, windows, resolution in _episodes(rule, metrics, options, now, retired, label)
    ]
    return continue_alerts(found, previous, now)


def _episodes(  # noqa: PLR0913, PLR0917 - as `evaluate`
    rule: Rule,
    metrics: Metrics,
    options: AlertingOptions,
    now: datetime,
    retired: Collection[str],
    label: str,
) -> Iterator[tuple[Subject, list[Observation], str | None]]:
    """Yield the consecutive windows in which a rule fires, and why that is over, if it is."""
    rows = observations.rule_rows(rule, metrics, now)
    observed = observations.observe(rule, rows, metrics, options, label)
    if rule.records is not None:  # such as labels: an alert does not expire because they are late
        rows = rows.filter(pa.array(observations.has_records(rule, rows, metrics)))
    ends = set(rows["end"].to_pylist())
    newest = sorted(ends)[-options.expires_after_windows :]
    for subject, unsorted in observed.items():
        windows = sorted(unsorted)
        for fires, consecutive in groupby(windows, key=attrgetter("fires")):
            run = list(consecutive)
            if fires and len(run) >= rule.windows:
                resolution = None
                if run[-1] is not windows[-1]:
                    resolution = "a calm window followed"
                elif subject.model_version in retired:
                    resolution = f"version {subject.model_version} is retired"
                elif run[-1].end not in newest:
                    resolution = f"absent from the newest {options.expires_after_windows} windows"
                yield subject, run, resolution


def _alert(name: str, rule: Rule, subject: Subject, windows: Sequence[Observation]) -> Row:
    last = windows[-1]
    return {
        "rule": name,
        "severity": rule.severity,
        "granularity": rule.granularity,
        "metric": rule.metric,
        "threshold": rule.threshold,
        **subject._asdict(),
        "since": windows[0].start,
        "window": {"start": last.start, "end": last.end},
        "value": last.value,
        "windows_in_a_row": len(windows),
        "pvalue": last.pvalue,
        "adjusted_pvalue": last.adjusted_pvalue,
        "message": _message(rule, subject, windows),
    }


def _message(rule: Rule, subject: Subject, windows: Sequence[Observation]) -> str:
    last = windows[-1]
    sentence = rule.meaning or f"{rule.metric} is {{value}}"
    if subject.column_name != tables.TABLE and "{column}" not in sentence:
        sentence = f"{{column}}: {sentence}"
    text = sentence.format(value=rounded(last.value, ".4g"), column=subject.column_name)
    parts = [text, f"{_ALARM[rule.comparison]} {rule.threshold:g}"]
    if last.adjusted_pvalue is not None:
        parts.append(f"p {last.adjusted_pvalue:.2g} adjusted over {last.tests} columns")
    if subject.slice_key is not None:
        parts.append(f"{subject.slice_key} {shown(subject.slice_value)}")
    if subject.model_version is not None:
        parts.append(f"model version {shown(subject.model_version)}")
    stretch = f"window of {rule.granularity} from "
    if len(windows) > 1:
        stretch = f"{len(windows)} consecutive windows of {rule.granularity}, last from "
    return "; ".join([*parts, f"{stretch}{last.start:%Y-%m-%d %H:%M} UTC"])
