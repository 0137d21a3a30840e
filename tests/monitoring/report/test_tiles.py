"""The overview: figures of the newest window, and the alerts about them."""

from dataclasses import replace

from support.report_tables import (
    DAY,
    Element,
    alert,
    alerts,
    empty,
    read,
    report_data,
    tiles_by_name,
)
from support.samples import START

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
