"""The overview: figures of the newest window, and the alerts about them."""

from dataclasses import replace

from support.report_tables import (
    DAY,
    DECISION,
    Element,
    alert,
    alerts,
    empty,
    read,
    report_data,
    tiles_by_name,
)
from support.samples import START

from marvel_kedro.monitoring.report import formatting
from marvel_kedro.monitoring.report import page as report
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.tables import TABLE


def test_overview_shows_the_newest_window(page: Element, tables: MonitoringTables) -> None:
    tiles = tiles_by_name(page)
    assert list(tiles) == [
        *("Requests", "Failed requests", "Latency, p95", "Labelled records"),
        *("ROC AUC, estimated", "ROC AUC, from labels", "Columns that drift", "Open alerts"),
    ]
    (last,) = [
        row
        for row in tables.estimates.to_pylist()
        if (row["metric"], row["model_version"], row["slice_key"]) == ("roc_auc", "3", None)
        and row["window"]["start"] == START + 3 * DAY
    ]
    assert tiles["ROC AUC, estimated"][0] == f"{last['estimate']:.3f}"
    assert tiles["ROC AUC, from labels"][0] == f"{last['realised']:.3f}"
    assert f"baseline {last['baseline']:.3f}" in tiles["ROC AUC, from labels"][1]
    assert f"{last['labelled']} labels" in tiles["ROC AUC, from labels"][1]
    assert tiles["Columns that drift"][:3] == ["1 of 4", "most: height; version 3", "▲ warning"]
    assert tiles["Open alerts"][0] == "1"
    assert "▲ 1 warning alert is open. Retraining is due." in page.text
    assert "input_drift: height moved" in page.all("div", class_="decision")[0].text
    assert "1,234 records with a new label" in page.text


def test_tile_shows_the_alert_about_its_columns_only(tables: MonitoringTables) -> None:
    given = alerts(alert(3, metric="failed / requests", severity="critical", column_name=TABLE))
    tiles = tiles_by_name(
        read(report.render(report_data(replace(empty(), health=tables.health, alerts=given))))
    )
    assert tiles["Failed requests"][-1] == "■ critical"
    assert "critical" not in tiles["Latency, p95"][-1]


def test_tile_of_a_version_ignores_alerts_about_others(tables: MonitoringTables) -> None:
    severe = {"severity": "critical", "column_name": TABLE}
    about = [
        alert(3, model_version="2", metric="baseline - realised", **severe),
        alert(3, model_version="2", metric="baseline - high", **severe),
        alert(3, model_version="2", severity="critical"),
    ]
    tiles = tiles_by_name(read(report.render(report_data(replace(tables, alerts=alerts(*about))))))
    for name in ("ROC AUC, estimated", "ROC AUC, from labels", "Columns that drift"):
        assert "critical" not in " ".join(tiles[name]), name
        assert "version 3" in tiles[name][1]
    assert tiles["Open alerts"][:2] == ["3", "0 of them acknowledged; about version 2"]
    assert "critical" in tiles["Open alerts"][-1]


def test_cool_down_is_shown_until_it_is_over(tables: MonitoringTables) -> None:
    for until, shown in (("2026-01-15T07:00:00+00:00", True), ("2026-01-15T06:00:00Z", False)):
        decision = DECISION | {"cooldown_until": until}
        page = report.render(report_data(replace(tables, retrain=decision)))
        assert ("Cool-down until" in page) is shown


def test_shares_metrics_and_latencies_read_as_none_or_all_only_if_they_are() -> None:
    assert formatting.share(1 / 4009) == "<0.1%"
    assert formatting.percent(99.99) == ">99.9%"
    assert formatting.percent(100.0) == "100.0%"
    assert formatting.decimal(0.99996) == ">0.999"
    assert formatting.measure(0.99996) == ">0.9999"
    assert formatting.millis(0.0) == "<1 ms"  # the inference table has whole milliseconds
