"""The drift map and the distributions of columns match the tables of metrics."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
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
from support.samples import ALL, START, distribution, group, scored

from marvel_kedro.monitoring.aggregation.value_counts import Distribution, Group
from marvel_kedro.monitoring.alerting.rules import Rule
from marvel_kedro.monitoring.report import page as report
from marvel_kedro.monitoring.report import plots
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.report.drift_figures import level
from marvel_kedro.monitoring.tables import BASELINE, DRIFT_METRICS, INPUT, PROFILE_METRICS, TABLE


def test_drift_map_matches_drift_metrics(page: Element, tables: MonitoringTables) -> None:
    shown = tables_by_caption(page)["Distance beyond chance by column and window, version 3"]
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
            part = cell.removesuffix("▲, alert: warning")
            assert (part != cell) == alarm
            # The mean by chance of the statistic of a number, of 200 rows and 500.
            beyond = strength - 0.8687 / np.sqrt(200 * 500 / 700) if test["pvalue"] < 0.05 else 0
            assert float(part) == pytest.approx(beyond, abs=0.006), (name, day)
            if day == 3:
                assert p == ("<0.001" if test["pvalue"] < 0.001 else f"{test['pvalue']:.3f}")


def test_drift_map_fills_only_significant_cells(page: Element) -> None:
    (whole, *_) = list(page.all("div", class_="map"))
    for row in whole.all("tbody")[0].all("tr"):
        for day, cell in enumerate(row.all("td")[:-1]):
            clear = (row.all("th")[0].text, day) == ("height", 3)
            assert (cell.attributes["class"].split()[0] == "h0") != clear


def test_rare_categories_without_drift_are_below_a_small_drift_of_another_column() -> None:
    """300 teams are far apart by chance; in clusters, too, if the rules leave them out."""
    generator = np.random.default_rng(5)

    def day(rows: int, women: float) -> Group:
        teams = generator.integers(0, 300, rows)
        genders = ["Female" if n < women * rows else "Male" for n in range(rows)]
        return group(
            {
                "clubs": distribution(np.repeat(teams[::4], 4).tolist(), "category"),
                "gender": distribution(genders, "category"),
                "teams": distribution(teams.tolist(), "category"),
            },
            records=rows,
        )

    base, days = day(600, 0.5), {(number, ALL): day(200, 0.75) for number in range(5)}
    rule = Rule(
        table="drift_metrics",
        metric="js_distance",
        threshold=0.1,
        test="chi_squared_test.pvalue",
        columns=["gender", "teams"],
    )
    found = report_data(report_tables(days, {ALL: base}), rules={"input_drift": rule})
    gender, *rare = found.versions[0].columns
    assert [gender.name, *(column.name for column in rare)] == ["gender", "teams", "clubs"]
    for place, small in enumerate(gender.drifts):
        assert level(small) == 3
        assert small and small.distance and small.excess  # noqa: PT018
        assert 0.7 * small.distance < small.excess < small.distance < 0.3
        for column in rare:
            drift = column.drifts[place]
            assert drift and drift.distance and drift.distance > 0.5  # noqa: PT018
            assert level(drift) < level(small)
    labels = plots.draw_drift(found).axes[0].get_yticklabels()
    assert [label.get_text() for label in labels] == ["gender", "teams", "clubs"]
    page = read(report.render(found))
    assert tiles_by_name(page)["Columns that drift"][1].startswith("most: gender")
    assert "no rule tests this column" in report.render(found)


@pytest.mark.parametrize("rows", [100, 2_000, 1_000_000])
def test_distance_beyond_chance_approaches_the_distance_with_many_rows(rows: int) -> None:
    """Also where the p-value is below the smallest number."""
    shares = {"a": (0.6, 0.4), "b": (0.4, 0.6)}
    of_sides = (
        Distribution("category", np.array([*shares], object), counts)
        for counts in np.round(rows * np.array([*shares.values()]).T).astype(np.int64)
    )
    this, base = (Group({"gender": one}, scored([0.5])) for one in of_sides)
    found = report_data(report_tables({(0, ALL): this}, {ALL: base})).versions[0].columns[0].newest
    assert found and found.distance and found.excess  # noqa: PT018
    chance = np.sqrt(1 / (4 * np.log(2) * rows))  # of one degree of freedom
    assert found.excess == pytest.approx(found.distance - chance, rel=0.05)


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


def test_tables_of_a_managed_monitor_are_read_by_their_own_conventions() -> None:
    """1,000 quantiles, short lists of items, numbers with such lists, rows of no version."""
    generator = np.random.default_rng(1)
    values = {"now": generator.normal(175, 10, 20_000), "base": generator.normal(170, 10, 9_000)}
    found = report_tables({(0, ALL): records(1)}, {ALL: records(2)})
    rows = found.profile.to_pylist()
    for row in rows:
        if row["column_name"] == "height":
            side = values["base" if row["log_type"] == BASELINE else "now"]
            row["quantiles"] = np.quantile(side, np.linspace(0, 1, 1000)).tolist()
            row["frequent_items"] = [{"item": "175", "count": 3}]
        if row["column_name"] == "gender":
            row["frequent_items"] = [{"item": None, "count": 9}, *row["frequent_items"][:1], None]
    rows += [row | {"model_version": None} for row in rows]
    rows += [
        row | {"slice_key": "gender", "slice_value": value} for row in rows for value in (None, "x")
    ]
    drift = found.drift.to_pylist()
    drift += [row | {"model_version": None} for row in drift]
    drift += [row | {"slice_key": "gender"} for row in drift]
    profile = pa.Table.from_pylist(rows, PROFILE_METRICS)
    managed = replace(found, profile=profile, drift=pa.Table.from_pylist(drift, DRIFT_METRICS))
    shown = tables_by_caption(read(report.render(report_data(managed))))
    heights = {row[0]: row[1:] for row in shown["height, version 3"]}
    for place in (0, 5, 25, 50, 75, 95, 100):
        expected = [f"{np.percentile(side, place):,.4g}" for side in values.values()]
        assert [float(one) for one in heights[str(place)]] == pytest.approx(
            [float(one) for one in expected], abs=0.2
        )
    genders = {row[0]: row[1:] for row in shown["gender, version 3"]}
    assert len([name for name in genders if name in {"Female", "Male"}]) == 1
    assert genders["all others"][0] == "42.5%"


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
