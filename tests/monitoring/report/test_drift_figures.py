"""The drift map and the distributions of columns match the tables of metrics."""

import numpy as np
from support.report_tables import (
    DAY,
    Element,
    read,
    records,
    report_data,
    report_tables,
    tables_by_caption,
    tiles_by_name,
)
from support.samples import ALL, START

from marvel_kedro.monitoring.report import page as report
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.tables import BASELINE, INPUT, TABLE


def test_drift_map_matches_drift_metrics(page: Element, tables: MonitoringTables) -> None:
    shown = tables_by_caption(page)["Distance from the baseline by column and window, version 3"]
    found = {
        (row["column_name"], row["window"]["start"]): row
        for row in tables.drift.to_pylist()
        if row["drift_type"] == BASELINE
        and row["slice_key"] is None
        and row["model_version"] == "3"
        and row["column_name"] != TABLE
    }
    assert shown[0] == ["Column", "5 Jan", "6 Jan", "7 Jan", "8 Jan", "p, newest"]
    assert shown[1][0] == "height"  # it has the most drift
    assert {name for name, *_ in shown[1:]} == {name for name, _ in found}
    for name, *cells, p in shown[1:]:
        for day, cell in enumerate(cells):
            row = found[name, START + day * DAY]
            strength, test = (
                (row["js_distance"], row["chi_squared_test"])
                if name == "gender"
                else (row["ks_test"]["statistic"], row["ks_test"])
            )
            alarm = (name, day) == ("height", 3)
            assert cell == f"{strength:.2f}".removeprefix("0") + ("▲, alert: warning" * alarm)
            if day == 3:
                assert p == ("<0.001" if test["pvalue"] < 0.001 else f"{test['pvalue']:.3f}")


def test_drift_map_fills_only_significant_cells(page: Element) -> None:
    (whole, *_) = list(page.all("div", class_="map"))
    for row in whole.all("tbody")[0].all("tr"):
        for day, cell in enumerate(row.all("td")[:-1]):
            clear = (row.all("th")[0].text, day) == ("height", 3)
            assert (cell.attributes["class"].split()[0] == "h0") != clear


def test_distributions_match_profile_metrics(page: Element, tables: MonitoringTables) -> None:
    last = {
        (row["log_type"], row["column_name"]): row
        for row in tables.profile.to_pylist()
        if row["model_version"] == "3"
        and row["slice_key"] is None
        and (row["log_type"] == BASELINE or row["window"]["start"] == START + 3 * DAY)
    }
    numbers = {row[0]: row[1:] for row in tables_by_caption(page)["height, version 3"]}
    sides = [last[kind, "height"] for kind in (INPUT, BASELINE)]
    for place in (0, 5, 25, 50, 75, 95, 100):
        assert numbers[str(place)] == [f"{side['quantiles'][place]:,.4g}" for side in sides]
    assert numbers["Mean"] == [f"{side['avg']:,.4g}" for side in sides]
    assert numbers["Rows"] == ["200", "500"]
    shares = {row[0]: row[1:] for row in tables_by_caption(page)["gender, version 3"]}
    sides = [last[kind, "gender"] for kind in (INPUT, BASELINE)]
    for item in ("Female", "Male"):
        assert shares[item] == [
            f"{found['count'] / side['count']:.1%}"
            for side in sides
            for found in side["frequent_items"]
            if found["item"] == item
        ]
    assert shares["no value"] == [f"{side['percent_null']:.1f}%" for side in sides]
    assert "all others" not in shares


def test_bar_lengths_are_proportional_to_shares(page: Element, tables: MonitoringTables) -> None:
    (chart,) = [
        one
        for one in page.all("svg", role="img")
        if one.attributes["aria-label"].startswith("Shares of gender")
    ][:1]
    bars = [float(one.attributes["width"]) for one in chart.all("rect")]
    shares = [float(one.text.rstrip("%")) for one in chart.all("text", class_="value")]
    assert len(bars) == len(shares) == 6
    assert np.allclose(np.array(bars) / max(bars), np.array(shares) / max(shares), atol=0.005)


def test_version_without_baseline_shows_dashes() -> None:
    """The version is not in the registry: no baseline and no estimates."""
    page = read(report.render(report_data(report_tables({(0, ALL): records(1)}, {}))))
    assert "no baseline to compare with" in page.text
    # Of 200 rows every seventh has none, and the others alternate.
    assert tables_by_caption(page)["gender, version 3"][1] == ["Male", "43.0%", "–"]  # noqa: RUF001
    assert tiles_by_name(page)["ROC AUC, estimated"][0] == "–"  # noqa: RUF001


def test_unlisted_category_of_the_baseline_has_an_upper_limit() -> None:
    """Each side lists its 100 most frequent categories only."""
    many = [f"Earth-{number:03}" for number in range(150)]
    found = report_tables(
        {(0, ALL): records(1, genders=["Elsewhere"])},
        {ALL: records(2, rows=1500, genders=many)},
    )
    rows = {
        row[0]: row[1:]
        for row in tables_by_caption(read(report.render(report_data(found))))["gender, version 3"]
    }
    least = min(
        item["count"]
        for row in found.profile.to_pylist()
        if row["log_type"] == BASELINE and row["column_name"] == "gender"
        for item in row["frequent_items"]
    )
    assert rows["Elsewhere"] == ["85.5%", f"≤ {least / 1500:.1%}"]
    assert next(row for name, row in rows.items() if name.startswith("Earth"))[0] == "0.0%"
