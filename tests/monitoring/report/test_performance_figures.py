"""Performance over time and by slice, and fairness match the tables of metrics."""

from support.report_tables import (
    EARTH,
    ELSEWHERE,
    WOMEN,
    Element,
    empty,
    read,
    report_data,
    tables_by_caption,
)

from marvel_kedro.monitoring.report import page as report
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.tables import INPUT, TABLE


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
