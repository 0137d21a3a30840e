"""Accessibility of the report in a browser."""

from pathlib import Path

import pytest
from support.browser import check_accessibility
from support.report_tables import (
    DAY,
    alert,
    alerts,
    options,
    records,
    report_data,
    report_tables,
)
from support.samples import ALL, START

from marvel_kedro.monitoring.aggregation.value_counts import Segment
from marvel_kedro.monitoring.report import page as report


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(tmp_path: Path, scheme: str, width: int) -> None:
    versions = (ALL, Segment("4"), Segment("3", "gender", "Female"))
    found = report_tables(
        {
            (day, part): records(day, moved=0.3 * (day == 2))
            for day in range(4)
            for part in versions
        },
        {part: records(9, 500) for part in versions},
        alerts=alerts(alert(2), alert(0, state="resolved", severity="critical")),
        rejected={"the request is no JSON": 2},
    )
    page = report.render(report_data(found, options(now=START + 3.5 * DAY)))  # one is running
    check_accessibility(page, tmp_path, scheme, width)
