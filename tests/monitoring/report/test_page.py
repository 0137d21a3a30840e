"""The page of the report: its figures match the tables, its input is escaped, it loads nothing."""

import itertools
import re
from dataclasses import replace

import numpy as np
import pytest
from support.report_tables import (
    DAY,
    DECISION,
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
    tiles_by_name,
    variables,
)
from support.samples import ALL, START, distribution, group, scored

from marvel_kedro.monitoring.aggregation.value_counts import Segment
from marvel_kedro.monitoring.alerting.acknowledgement import terminal_table
from marvel_kedro.monitoring.report import page as report
from marvel_kedro.monitoring.report import plots
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.tables import INPUT

HOSTILE = '<script>alert(1)</script>"><img src=x onerror=alert(1)>'


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
    assert "There are no metrics yet: no request in a window of 1 day." in page.text
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


def test_running_window_is_marked_and_no_tile_is_about_it(tables: MonitoringTables) -> None:
    early = options(now=START + 3 * DAY + DAY / 2)
    found = report_data(tables, early)
    page = read(report.render(found))
    assert "Newest complete window: 2026-01-07. 3 windows of 1 day since 2026-01-05." in page.text
    assert "Still running: the window 2026-01-08 (so far), 400 requests." in page.text
    shown = tables_by_caption(page)
    assert [row[0] for row in shown["Requests"][-2:]] == ["2026-01-07", "2026-01-08 (so far)"]
    assert page.all("div", class_="map")[0].all("table")[0].rows()[0][-2] == "8 Jan (so far)"
    assert "Window 2026-01-07 compared with the baseline" in page.text
    assert " until 2026" not in " ".join(one.text for one in page.all("h3"))
    figures = page.all("rect", class_="running")
    assert len(figures) == 3 * len(found.versions) + 3
    complete = report_data(tables, options(now=START + 3 * DAY), max_windows=3)
    assert tiles_by_name(page) == tiles_by_name(read(report.render(complete)))


def test_first_running_window_has_figures(tables: MonitoringTables) -> None:
    """The first report of one's own, on the day of the first requests."""
    first = report_tables({(0, ALL): records(1, 34)}, {ALL: records(99, 500)})
    found = report_data(first, options(now=START + DAY / 2))
    page = read(report.render(found))
    assert "Still running: the window of 1 day, 2026-01-05 (so far), 200 requests." in page.text
    assert "No alert is open. The first window is still running; alerts wait for" in page.text
    tiles = tiles_by_name(page)
    assert tiles["Requests"] == ["200", "so far; first window"]
    assert all(note.startswith("so far; ") for _, note, *_ in [*tiles.values()][:-1])
    assert "Window 2026-01-05 (so far) compared with the baseline" in page.text
    assert "no window is complete" not in page.text
    (shown,) = plots.draw_drift(found).axes[0].get_xticklabels()
    assert shown.get_text() == "5 Jan (so far)"
    drawn = plots.draw_performance(found)
    assert "still running" in drawn.get_suptitle()
    for axes in drawn.axes:
        left, right = axes.get_xlim()
        assert right - left == pytest.approx(1)
        assert [one.get_text() for one in axes.get_xticklabels()] == ["5 Jan (so far)"]


def test_one_class_is_said_once_and_its_void_measures_are_hidden() -> None:
    part = [Segment("3", "universe = 'x'", value) for value in ("true", "false")]
    whole = records(1)
    positive = np.full(200, 0.8)
    one = group(
        {**whole.columns, "prediction": distribution(["Alive"] * 200, "category")},
        scored(positive, positive=[True] * 50 + [None] * 150),
    )
    given = dict.fromkeys([ALL, *part], one)
    found = report_tables({(0, key): one for key in given}, dict.fromkeys(given, whole))
    page = read(report.render(report_data(found)))
    assert page.text.count("200 records in window 2026-01-05: Alive is predicted for all.") == 1
    assert page.text.count("labels of window 2026-01-05 are of one class") == 1
    assert tiles_by_name(page)["ROC AUC, from labels"][1].startswith("labels of one class")
    shown = tables_by_caption(page)
    fairness = shown.get("Fairness of version 3, window 2026-01-05", [["Predictive parity"]])
    assert fairness[0][-1] == "Predictive parity"


def test_granularity_without_windows_shows_no_metrics(tables: MonitoringTables) -> None:
    page = read(report.render(report_data(tables, granularity="1 week")))
    assert "There is no window of 1 week with requests yet" in page.text


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


def test_long_names_are_cut_and_control_characters_replaced() -> None:
    """Values of 900,000 letters, as in tables of another program or of an earlier release."""
    names = [letter * 900_000 for letter in "ab"] + ["c\x1b[2J\x00\n\u202ed"]
    part = [Segment("3"), *(Segment("3", "gender", name) for name in names)]
    groups = {(0, one): records(1, genders=names) for one in part}
    huge = {"message": names[0], "slice_key": "gender", "slice_value": names[1]}
    found = report_tables(
        groups,
        {one: records(2, genders=names[:1]) for one in part},
        alerts=alerts(alert(0, **huge), alert(1, model_version=names[0])),
        health=health([(0, names[0], names[1], 9, 1)]),
        rejected={names[0]: 3},
    )
    page = report.render(report_data(found))
    assert len(page) < 300_000
    assert not [one for one in page if not one.isprintable() and one != "\n"]
    assert "gender = aaaa" in read(page).text
    huge_version = {(0, Segment(names[0])): records(1)}
    data = report_data(report_tables(huge_version, {}))
    assert len(report.render(data)) < 300_000
    assert len(plots.draw_drift(data).axes[0].get_title("left")) < 200
    assert "c\ufffd[2J\ufffd\ufffd\ufffdd" in page


def test_unknown_severity_and_state_of_another_writer_are_shown_as_such() -> None:
    rows = [
        alert(0, severity="fatal"),
        alert(1),
        alert(2, state="snoozed"),
        alert(3, severity=None),
    ]
    page = read(
        report.render(report_data(report_tables({(0, ALL): records(1)}, {}, alerts=alerts(*rows))))
    )
    assert "1 of unknown severity (fatal)" in page.text
    assert "1 warning" in page.text
    table = page.all("table", class_="alerts")[0].text
    assert "? fatal (unknown severity)" in table
    assert "snoozed" in table
    assert terminal_table(rows).row_count == 4


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
