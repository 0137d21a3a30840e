"""Traffic, errors and latency match the operational metrics."""

from dataclasses import replace

from support.report_tables import (
    empty,
    health,
    read,
    report_data,
    tables_by_caption,
    tiles_by_name,
)

from marvel_kedro.monitoring.report import page as report
from marvel_kedro.monitoring.report.data import MonitoringTables


def test_traffic_matches_health_metrics(tables: MonitoringTables) -> None:
    metrics = health(
        [
            (0, "champion", "3", 300, 30),
            (0, "challenger", "4", 100, 0),
            (1, "champion", "3", 500, 5),
            (1, None, None, 20, 20),
        ]
    )
    page = read(report.render(report_data(replace(empty(), health=metrics))))
    shown = tables_by_caption(page)
    caption = "Served entities; counts of all windows shown, latency of the newest window of each"
    entities = {row[0]: row[1:] for row in shown[caption]}
    assert entities["champion (version 3)"][:6] == ["800", "87.0%", "0.0%", "0.0%", "4.4%", "0.0%"]
    assert entities["champion (version 3)"][6:9] == ["6 ms", "21 ms", "41 ms"]
    assert entities["no entity"][:2] == ["20", "2.2%"]
    assert shown["Requests"] == [
        ["Window", "champion (version 3)", "challenger (version 4)", "no entity"],
        ["2026-01-05", "300", "100", "0"],
        ["2026-01-06", "500", "0", "20"],
    ]
    assert shown["Share of failed requests"][1:] == [
        ["2026-01-05", "10.0%", "0.0%", "–"],  # noqa: RUF001
        ["2026-01-06", "1.0%", "–", "100.0%"],  # noqa: RUF001
    ]
    tiles = tiles_by_name(page)
    assert tiles["Requests"][:2] == ["520", "400 in the previous window"]
    assert tiles["Failed requests"][0] == "4.8%"
    assert tiles["Latency, p95"] == ["21 ms", "of the slowest: champion (version 3)"]


def test_failed_requests_only_give_a_failed_share_of_one() -> None:
    page = read(
        report.render(report_data(replace(empty(), health=health([(0, None, None, 5, 5)]))))
    )
    tiles = tiles_by_name(page)
    assert tiles["Failed requests"][0] == "100.0%"
    assert "No model version has scored a record in these windows." in page.text
