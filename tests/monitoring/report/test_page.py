"""The page of the report: its figures match the tables, its input is escaped, it loads nothing."""

import itertools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from support.report_tables import (
    DAY,
    Element,
    alert,
    alerts,
    contrast,
    empty,
    health,
    options,
    read,
    records,
    report_data,
    report_tables,
    tables_by_caption,
    variables,
)
from support.samples import ALL, START

from marvel_kedro.monitoring.aggregation.value_counts import Segment
from marvel_kedro.monitoring.report import page as report
from marvel_kedro.monitoring.report import plots
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.tables import BASELINE, INPUT, TABLE

WOMEN = Segment("3", "gender", "Female")
EARTH, ELSEWHERE = (Segment("3", "universe = 'Earth-616'", value) for value in ("true", "false"))
CHALLENGER = Segment("4")
DECISION = {
    "retrain": True,
    "reasons": ["input_drift: height moved"],
    "cooldown_until": None,
    "labelled_records": 1234,
    "decided_at": "2026-01-15T06:00:00+00:00",
}
HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def tables() -> MonitoringTables:
    """Make four days of two versions and three slices, with drift of height on the last day."""
    moved = {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.3}
    return report_tables(
        {
            **{(day, ALL): records(day, moved=by) for day, by in moved.items()},
            **{(day, CHALLENGER): records(10 + day, 60) for day in (2, 3)},
            **{(3, part): records(20, 80) for part in (WOMEN, EARTH, ELSEWHERE)},
        },
        {part: records(99, 500) for part in (ALL, CHALLENGER, WOMEN, EARTH, ELSEWHERE)},
        alerts=alerts(
            alert(3),
            alert(1, severity="critical", rule="errors", state="resolved", column_name=TABLE,
                  model_version=None, metric="failed / requests", message="many failed"),
        ),
        rejected={"the request is no JSON": 7, "it was not answered: status 504": 2},
        retrain=DECISION,
    )  # fmt: skip


@pytest.fixture(scope="module")
def page(tables: MonitoringTables) -> Element:
    return read(report.render(report_data(tables)))


def test_page_loads_no_files_and_runs_no_scripts(tables: MonitoringTables) -> None:
    text = report.render(report_data(tables))
    page = read(text)
    assert page.all("meta", http_equiv="Content-Security-Policy")[0].attributes["content"] == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    )
    for element in page.every():
        assert element.tag not in {"script", "link", "iframe", "object", "embed", "img", "image"}
        for name, value in element.attributes.items():
            assert name not in {"src", "srcset", "xlink:href", "style"}, element
            assert not name.startswith("on"), element
            assert name != "href" or value.startswith("#"), element
    assert not re.search(r"url\(|@import|//", page.all("style")[0].text)


def test_sections_are_ordered_and_linked(page: Element) -> None:
    titles = [one.text for one in page.all("h2")]
    assert titles == [
        "Overview",
        "Alerts",
        "Drift by column",
        "Performance over time",
        "Slices",
        "A/B test and traffic",
        "Data quality",
        "How it was computed",
    ]
    assert len(page.all("h1")) == 1
    ids = [one.attributes["id"] for one in page.every() if "id" in one.attributes]
    assert len(set(ids)) == len(ids)
    for link in page.all("a"):
        assert link.attributes["href"][1:] in ids
    levels = [int(one.tag[1]) for one in page.every() if re.fullmatch(r"h[1-6]", one.tag)]
    assert all(deeper - level <= 1 for level, deeper in itertools.pairwise(levels))


def test_every_chart_has_a_label_and_a_table_of_its_numbers(page: Element) -> None:
    charts = page.all("svg", role="img")
    assert len(charts) >= 12
    for chart in charts:
        assert chart.attributes["aria-label"].endswith(".")
    for figure in page.all("figure"):
        assert figure.all("table")[0].all("caption")
    for other in page.all("svg"):
        assert other.attributes.get("role") == "img" or other.attributes["aria-hidden"] == "true"


def test_scrolling_region_has_a_unique_name_and_keyboard_focus(page: Element) -> None:
    labels = []
    for one in page.all("div", class_="wide"):
        assert (one.attributes["role"], one.attributes["tabindex"]) == ("region", "0")
        labels.append(one.attributes["aria-label"])
    assert len(set(labels)) == len(labels)


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


def test_performance_matches_quality_estimates(page: Element, tables: MonitoringTables) -> None:
    titles = {"roc_auc": "ROC AUC", "accuracy": "Accuracy", "log_loss": "Log loss"}
    found = {
        (row["model_version"], row["metric"], f"{row['window']['start']:%Y-%m-%d}"): row
        for row in tables.estimates.to_pylist()
        if row["slice_key"] is None
    }
    read_there = {}
    for version in "34":
        for metric, title in titles.items():
            for day, *texts in tables_by_caption(page)[f"{title} of version {version}"][1:]:
                read_there[version, metric, day] = texts
    assert set(read_there) == set(found)
    for key, row in found.items():
        assert read_there[key] == [
            f"{row['records']:,}",
            f"{row['labelled']:,}",
            f"{row['estimate']:.3f} ({row['low']:.3f}–{row['high']:.3f})",  # noqa: RUF001
            f"{row['realised']:.3f}",
            f"{row['baseline']:.3f}",
        ]


def test_without_estimates_performance_is_that_of_profile_metrics(tables: MonitoringTables) -> None:
    """Tables of a managed monitor of Databricks have no estimates."""
    without = MonitoringTables(
        tables.health, tables.profile, tables.drift, empty().estimates, tables.alerts
    )
    page = read(report.render(report_data(without)))
    realised = {
        f"{row['window']['start']:%Y-%m-%d}": row["accuracy_score"]
        for row in tables.profile.to_pylist()
        if row["log_type"] == INPUT
        and row["column_name"] == TABLE
        and row["slice_key"] is None
        and row["model_version"] == "3"
    }
    for day, _, _, estimated, known, _ in tables_by_caption(page)["Accuracy of version 3"][1:]:
        assert (estimated, known) == ("–", f"{realised[day]:.3f}")  # noqa: RUF001


def test_slices_and_fairness_match_the_tables(page: Element, tables: MonitoringTables) -> None:
    rows = {
        row[0]: row[1:]
        for row in tables_by_caption(page)["ROC AUC by slice, version 3, window 2026-01-08"]
    }
    found = {
        (row["slice_key"], row["slice_value"]): row
        for row in tables.estimates.to_pylist()
        if row["metric"] == "roc_auc" and row["slice_key"] and row["model_version"] == "3"
    }
    names = {
        "gender = Female": WOMEN,
        "universe = 'Earth-616'": EARTH,
        "not (universe = 'Earth-616')": ELSEWHERE,
    }
    assert set(rows) == {"Slice", *names}
    for name, part in names.items():
        row = found[part.slice_key, part.slice_value]
        assert rows[name][2:5] == [
            f"{row['realised']:.3f}",
            f"{row['labelled']}",
            f"{row['baseline']:.3f}",
        ]
        assert rows[name][0] == "80"
    fair = {
        row[0]: row[2:]
        for row in tables_by_caption(page)["Fairness of version 3, window 2026-01-08"]
    }
    assert set(fair) == {"Slice", *list(names)[1:]}
    # Both halves are the same records: parity.
    assert fair["universe = 'Earth-616'"] == ["1.000"] * 4


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
    tiles = _tiles(page)
    assert tiles["Requests"][:2] == ["520", "400 in the previous window"]
    assert tiles["Failed requests"][0] == "4.8%"
    assert tiles["Latency, p95"] == ["21 ms", "of the slowest: champion (version 3)"]


def test_overview_shows_the_newest_window(page: Element, tables: MonitoringTables) -> None:
    tiles = _tiles(page)
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


def test_open_alerts_come_first(page: Element) -> None:
    rows = page.all("table", class_="alerts")[0].rows()
    assert [row[0] for row in rows[1::2]] == ["▲ warning", "■ critical"]
    assert rows[1][1:4] == ["open", "input_drift", "version 3, height"]
    assert rows[1][4:7] == ["0.5", "0.1", "1"]
    assert rows[3][3] == "the endpoint"
    assert rows[4] == ["many failed"]


def test_rules_are_listed(page: Element) -> None:
    assert tables_by_caption(page)["Rules"][1] == [
        *("errors", "warning", "failed / requests >= 0.02", "–"),  # noqa: RUF001
        *("1 of 1 day", "50 requests", "no"),
    ]


@pytest.mark.parametrize("state", ["silenced", "resolved"])
def test_silenced_or_resolved_alert_does_not_count_as_open(
    tables: MonitoringTables, state: str
) -> None:
    until = START + 20 * DAY
    given = alerts(alert(3, state=state, silenced_until=until))
    page = read(report.render(report_data(replace(tables, alerts=given))))
    assert "No alert is open." in page.text
    assert ("until 2026-01-25 00:00 UTC" in page.text) == (state == "silenced")


def test_tile_shows_the_alert_about_its_columns_only(tables: MonitoringTables) -> None:
    given = alerts(alert(3, metric="failed / requests", severity="critical", column_name=TABLE))
    tiles = _tiles(
        read(report.render(report_data(replace(empty(), health=tables.health, alerts=given))))
    )
    assert tiles["Failed requests"][-1] == "■ critical"
    assert "critical" not in tiles["Latency, p95"][-1]


def test_nulls_and_rejected_requests_match_the_tables(
    page: Element, tables: MonitoringTables
) -> None:
    shown = tables_by_caption(page)
    nulls = {row[0]: row[1:] for row in shown["Missing values of version 3, window 2026-01-08"]}
    (now,) = [
        row
        for row in tables.profile.to_pylist()
        if (row["log_type"], row["column_name"], row["slice_key"]) == (INPUT, "gender", None)
        and row["model_version"] == "3"
        and row["window"]["start"] == START + 3 * DAY
    ]
    assert nulls["gender"][:2] == ["200", f"{now['percent_null']:.1f}%"]
    assert nulls["height"][3:5] == ["0.0%", "0.0%"]
    assert shown["Requests without a readable record, in the windows shown"][1:] == [
        ["the request is no JSON", "7"],
        ["it was not answered: status 504", "2"],
    ]


def test_empty_tables_give_a_page_that_names_what_is_missing() -> None:
    page = read(report.render(report_data(empty())))
    assert "There are no metrics yet: no window is complete." in page.text
    for expected in (
        "kedro run --pipelines monitoring",
        "There is no decision on retraining yet.",
        "There are no alerts.",
        "No model version has scored a record in these windows.",
        "There are no requests in these windows.",
        "No request was rejected in these windows.",
    ):
        assert expected in page.text, expected
    assert not page.all("figure")
    for draw in (plots.draw_drift, plots.draw_performance):
        assert "No model version" in draw(report_data(empty())).axes[0].texts[0].get_text()


def test_failed_requests_only_give_a_failed_share_of_one() -> None:
    page = read(
        report.render(report_data(replace(empty(), health=health([(0, None, None, 5, 5)]))))
    )
    tiles = _tiles(page)
    assert tiles["Failed requests"][0] == "100.0%"
    assert "No model version has scored a record in these windows." in page.text


def test_version_without_baseline_shows_dashes() -> None:
    """The version is not in the registry: no baseline and no estimates."""
    page = read(report.render(report_data(report_tables({(0, ALL): records(1)}, {}))))
    assert "no baseline to compare with" in page.text
    # Of 200 rows every seventh has none, and the others alternate.
    assert tables_by_caption(page)["gender, version 3"][1] == ["Male", "43.0%", "–"]  # noqa: RUF001
    assert _tiles(page)["ROC AUC, estimated"][0] == "–"  # noqa: RUF001


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


def test_incomplete_window_is_not_shown(tables: MonitoringTables) -> None:
    early = options(now=START + 3 * DAY + DAY / 2)
    page = read(report.render(report_data(tables, early)))
    assert "Newest complete window: 2026-01-07" in page.text
    assert "The window 2026-01-08 is incomplete and not shown" in page.text
    assert "8 Jan" not in page.text


def test_granularity_without_windows_shows_no_metrics(tables: MonitoringTables) -> None:
    page = read(report.render(report_data(tables, granularity="1 week")))
    assert "There is no complete window of 1 week yet" in page.text


def test_page_is_bounded_and_counts_what_it_omits() -> None:
    """Two months, six versions, thirty columns, forty slices: most are not drawn."""
    base = records(0)
    wide = {f"column_{number:02}": base.columns["gender"] for number in range(30)}
    whole = type(base)(wide, base.scored)
    slices = [Segment("0", "team", f"team {number:02}") for number in range(40)]
    versions = [Segment(str(number)) for number in range(6)]
    found = report_tables(
        {
            **{(day, part): whole for day in range(60) for part in versions},
            **{(59, part): base for part in slices},
        },
        dict.fromkeys(versions, whole),
        alerts=alerts(*(alert(day % 60, alert_id=str(day)) for day in range(70))),
    )
    text = report.render(report_data(found, options(now=START + 60 * DAY)))
    page = read(text)
    assert len(text.encode()) < 1_500_000
    assert "30 older windows are not shown." in page.text
    assert "10 other columns with less drift are in the table drift_metrics" in page.text
    assert "(3 more are in the tables)" in page.text
    assert "20 other alerts are in the table alerts." in page.text
    assert len(page.all("div", class_="map")) == 3
    whole_map = page.all("div", class_="map")[0].all("table")[0].rows()
    assert (len(whole_map), len(whole_map[0])) == (21, 32)


def test_markup_in_tables_is_escaped() -> None:
    base = records(0, genders=[HOSTILE, "Male"])
    column = type(base)({**base.columns, HOSTILE: base.columns["gender"]}, base.scored)
    part = Segment(HOSTILE)
    sliced = Segment(HOSTILE, HOSTILE, HOSTILE)
    found = report_tables(
        {(0, part): column, (0, sliced): column},
        {part: column, sliced: column},
        health=health([(0, HOSTILE, HOSTILE, 10, 1)]),
        alerts=alerts(
            alert(0, rule=HOSTILE, message=HOSTILE, column_name=HOSTILE, model_version=HOSTILE,
                  slice_key=HOSTILE, slice_value=HOSTILE, state="acknowledged",
                  acknowledged_by=HOSTILE, acknowledged_at=START)
        ),
        rejected={HOSTILE: 3},
        retrain=DECISION | {"reasons": [HOSTILE]},
        ab_report={"verdict": HOSTILE, "champion": HOSTILE,
                   "comparisons": [{"challenger": HOSTILE, "log_loss_gain": 0.1}]},
    )  # fmt: skip
    text = report.render(
        report_data(found, options(slices=(HOSTILE,), columns={HOSTILE: "category"}))
    )
    page = read(text)
    assert {one.tag for one in page.every()} & {"script", "img"} == set()
    for one in page.every():
        assert not any(name.startswith("on") for name in one.attributes)
    assert "<script" not in text
    assert page.text.count("<script>alert(1)</script>") > 10


def test_ab_test_report_is_shown(tables: MonitoringTables) -> None:
    ab_report = {
        "verdict": "challenger is better",
        "champion": "champion (version 3)",
        "comparisons": [
            {
                "challenger": "challenger (version 4)",
                "log_loss_gain": 0.05,
                "log_loss_low": -0.01,
                "log_loss_high": 0.11,
                "log_loss_p_value": 0.02,
            }
        ],
    }
    given = replace(empty(), health=tables.health, ab_report=ab_report)
    page = read(report.render(report_data(given)))
    rows = tables_by_caption(page)["Gain over champion (version 3); positive is better"]
    assert rows[1] == [
        "challenger (version 4)",
        "log loss",
        "+0.0500",
        "\N{MINUS SIGN}0.0100 to +0.1100",
        "0.020",
    ]
    assert rows[2][2:] == ["–", "– to –", "–"]  # noqa: RUF001


def test_plots_match_the_tables(tables: MonitoringTables) -> None:
    found = report_data(tables)
    shown = plots.draw_drift(found).axes[0]
    names = [label.get_text() for label in shown.get_yticklabels()]
    matrix: Any = shown.images[0].get_array()
    for name, row in zip(names, matrix, strict=True):
        for day, value in enumerate(row):
            (drift,) = [
                one
                for one in tables.drift.to_pylist()
                if (one["column_name"], one["model_version"]) == (name, "3")
                and one["slice_key"] is None
                and one["drift_type"] == BASELINE
                and one["window"]["start"] == START + day * DAY
            ]
            expected = drift["js_distance"] if name == "gender" else drift["ks_test"]["statistic"]
            assert value == pytest.approx(expected)
    lines = plots.draw_performance(found).axes[0].lines
    estimates = [
        row["estimate"]
        for row in tables.estimates.to_pylist()
        if (row["metric"], row["model_version"], row["slice_key"]) == ("roc_auc", "3", None)
    ]
    assert np.asarray(lines[0].get_ydata(), float).tolist() == estimates


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_have_enough_contrast(page: Element, scheme: int) -> None:
    """WCAG 2.2, AA: text 4.5 to 1, and what is drawn 3 to 1."""
    colour = variables(page.all("style")[0].text)[scheme]
    grounds = ("page", "soft", "raised")
    texts = [
        *((name, ground) for ground in grounds
          for name in ("ink", "quiet", "accent", "calm", "info", "warning", "critical")),
        *((f"h{level}-ink", f"h{level}") for level in range(1, 6)),
    ]  # fmt: skip
    for name, ground in texts:
        assert contrast(colour[name], colour[ground]) >= 4.5, (name, ground)
    for name in ("c1", "c2", "c3", "c4", "c5", "c6"):
        assert contrast(colour[name], colour["raised"]) >= 3, name
    # More drift is darker in light mode, brighter in dark mode.
    steps = [contrast(colour[f"h{level}"], colour["page"]) for level in range(1, 6)]
    assert steps == sorted(steps)


def _tiles(page: Element) -> dict[str, list[str]]:
    found = {}
    for tile in page.all("ul", class_="tiles")[0].all("li"):
        name, *texts = [one.text for one in tile.all("p") if one.text]
        found[name] = texts
    return found
