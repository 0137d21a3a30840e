"""The overview of the report: one tile a key figure of the newest complete window.

While the first window is running, the tiles show its figures so far.
"""

from collections import Counter
from dataclasses import dataclass, replace

from markupsafe import Markup

from marvel_kedro.monitoring.names import shown
from marvel_kedro.monitoring.report import formatting as fmt
from marvel_kedro.monitoring.report.charts import sparkline
from marvel_kedro.monitoring.report.data import ModelVersion, ReportData
from marvel_kedro.monitoring.report.drift_figures import level
from marvel_kedro.monitoring.report.windows import Window

_ESTIMATE_COLUMNS = ("estimate", "low", "high")
_REALISED_COLUMNS = ("realised", "accuracy_score", "log_loss", "roc_auc_score")
_DRIFT_COLUMNS = ("js_distance", "ks_test", "chi_squared_test", "percent_null_delta")


@dataclass(frozen=True)
class Tile:
    """A key figure, the highest severity of the alerts about it, and its course over time."""

    name: str
    figure: str
    note: str
    severity: str | None
    spark: Markup | None = None


def tiles(data: ReportData) -> list[Tile]:
    """Make the tiles of the overview."""
    if not data.windows:
        return []
    newest = data.settled[-1]
    found = _operational_tiles(data) if data.health[newest] else []
    if data.versions:
        version = data.versions[0]
        found += [_performance_tile(data, version, realised=realised) for realised in (False, True)]
        found.append(_drift_tile(data, version))
    if newest.running:
        found = [replace(tile, note=f"so far; {tile.note}") for tile in found]
    return [*found, _alerts_tile(data)]


def _alerts_tile(data: ReportData) -> Tile:
    """Count the open alerts, and name the versions that they are about."""
    firing = data.alerts.firing
    acknowledged = Counter(row["state"] for row in firing)["acknowledged"]
    versions = sorted({shown(row["model_version"]) for row in firing if row["model_version"]})
    note = f"{acknowledged:,} of them acknowledged" if firing else "none fires"
    if versions:
        note += f"; about version {fmt.listed(versions)}"
    return Tile("Open alerts", f"{len(firing):,}", note, data.alerts.severity())


def _operational_tiles(data: ReportData) -> list[Tile]:
    def totals(name: str) -> list[int]:
        return [sum(row[name] for row in data.health[span]) for span in data.settled]

    def ratios(name: str, of: str) -> list[float | None]:
        return [fmt.ratio(*pair) for pair in zip(totals(name), totals(of), strict=True)]

    def slowest(span: Window) -> tuple[float | None, str]:
        latencies = ((row["latency_p95_ms"], fmt.entity(row)) for row in data.health[span])
        return max((one for one in latencies if one[0] is not None), default=(None, ""))

    latency, name = slowest(data.settled[-1])
    requests, records, labelled = totals("requests"), totals("records"), totals("labelled")
    before = fmt.whole(requests[-2]) if requests[:-1] else None
    failed, labelled_share = ratios("failed", "requests"), ratios("labelled", "records")
    outcomes = ("failed", "refused", "throttled")
    alerts = data.alerts
    return [
        Tile(
            "Requests",
            fmt.whole(requests[-1]),
            f"{before} in the previous window" if before else "first window",
            None if requests[-1] else alerts.severity(["requests"]),
            sparkline(requests),
        ),
        Tile(
            "Failed requests",
            fmt.share(failed[-1]),
            ", ".join(f"{fmt.whole(totals(name)[-1])} {name}" for name in outcomes),
            alerts.severity([*outcomes, "unread"]),
            sparkline(failed),
        ),
        Tile(
            "Latency, p95",
            fmt.millis(latency),
            f"of the slowest: {name}" if name else "no answered request",
            alerts.severity(["latency_p50_ms", "latency_p95_ms", "latency_p99_ms"]),
            sparkline([slowest(span)[0] for span in data.settled]),
        ),
        Tile(
            "Labelled records",
            fmt.share(labelled_share[-1]),
            f"{fmt.whole(labelled[-1])} of {fmt.whole(records[-1])}; all windows shown: "
            f"{fmt.share(fmt.ratio(sum(labelled), sum(records)))}",
            None,
            sparkline(labelled_share),
        ),
    ]


def _performance_tile(data: ReportData, version: ModelVersion, *, realised: bool) -> Tile:
    """Show the ROC AUC of the newest window that has it."""
    title = f"ROC AUC, {'from labels' if realised else 'estimated'}"
    found = version.performance["roc_auc"][: len(data.settled)]
    values = [one.realised if realised else one.estimate for one in found]
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    if not known:
        reason = "not known"
        if realised and found[-1].labelled is not None:
            reason = "labels of one class" if any(one.labelled for one in found) else "no label yet"
        return Tile(title, fmt.UNKNOWN, f"{reason}; version {version.name}", None)
    place, value = known[-1]
    last, notes = found[place], []
    if last.baseline is not None:
        notes.append(f"baseline {fmt.decimal(last.baseline)} ({fmt.signed(value - last.baseline)})")
    if realised and last.labelled is not None:
        notes.append(fmt.number_of(last.labelled, "label"))
    notes.append(f"version {version.name}")
    if place != len(values) - 1:
        notes.append(f"window {fmt.window(data.windows[place])}")
    columns = _REALISED_COLUMNS if realised else _ESTIMATE_COLUMNS
    severity = data.alerts.severity(columns, version.name)
    return Tile(title, fmt.decimal(value), "; ".join(notes), severity, sparkline(values))


def _drift_tile(data: ReportData, version: ModelVersion) -> Tile:
    """Count the columns with significant drift, and name the one that drifts most."""
    distances = {
        column.name: column.newest.excess
        for column in version.columns
        if column.newest and column.newest.significant and column.newest.excess
    }
    columns, windows = version.columns, range(len(data.settled))
    counts = [sum(level(column.drifts[place]) > 0 for column in columns) for place in windows]
    strongest = max(distances, key=lambda name: distances[name], default=None)
    note = "none more than chance explains" if strongest is None else f"most: {strongest}"
    return Tile(
        "Columns that drift",
        f"{len(distances)} of {len(version.columns) + version.columns_omitted}",
        f"{note}; version {version.name}",
        data.alerts.severity(_DRIFT_COLUMNS, version.name),
        sparkline(counts),
    )
