"""The plots for MLflow and kedro-viz match the tables of metrics."""

from typing import Any

import numpy as np
from support.report_tables import (
    DAY,
    report_data,
)
from support.samples import START

from marvel_kedro.monitoring.report import plots
from marvel_kedro.monitoring.report.data import MonitoringTables
from marvel_kedro.monitoring.tables import BASELINE


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
            test = drift["chi_squared_test" if name == "gender" else "ks_test"]
            distance = drift["js_distance"] if name == "gender" else test["statistic"]
            assert (0 < value < distance) if test["pvalue"] < 0.05 else value == 0
    lines = plots.draw_performance(found).axes[0].lines
    estimates = [
        row["estimate"]
        for row in tables.estimates.to_pylist()
        if (row["metric"], row["model_version"], row["slice_key"]) == ("roc_auc", "3", None)
    ]
    assert np.asarray(lines[0].get_ydata(), float).tolist() == estimates
