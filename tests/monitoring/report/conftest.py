"""Tables of four days, and the page that is made of them."""

import pytest
from support.report_tables import (
    CHALLENGER,
    DECISION,
    EARTH,
    ELSEWHERE,
    WOMEN,
    Element,
    alert,
    alerts,
    read,
    records,
    report_data,
    report_tables,
)
from support.samples import ALL

from marvel_kedro.monitoring.report import page as report
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.tables import TABLE


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
def page(tables: MonitoringTables) -> Element:
    return read(report.render(report_data(tables)))
