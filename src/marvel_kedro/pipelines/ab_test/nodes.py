"""Nodes of the `ab_test` pipeline."""

from typing import Any

import pandas as pd
from narwhals.typing import IntoFrame

from marvel_kedro.core import page
from marvel_kedro.monitoring.ab_test import comparison, data, plots, report
from marvel_kedro.monitoring.ab_test.comparison import ABTestResult
from marvel_kedro.monitoring.inference_log.parsing import InferenceLog
from marvel_kedro.monitoring.inference_log.records import newest_labels, warn_of_unknown_labels
from marvel_kedro.monitoring.options import ABTestOptions
from marvel_kedro.table.frames import AnyFrame


def compare_entities(
    ab_log: InferenceLog, served_entities: IntoFrame, labels: AnyFrame, options: ABTestOptions
) -> tuple[ABTestResult, dict[str, Any], pd.DataFrame]:
    """Compare the served entities with the champion.

    Returns:
        The result, its report, and one row a served entity.
    """
    served = data.collect_columns(served_entities, data.SERVED_COLUMNS, options)
    warn_of_unknown_labels(labels)
    newest = newest_labels(labels).to_native()
    known = data.collect_columns(newest, data.LABEL_COLUMNS, options)
    result = comparison.compare(ab_log, served, known, options)
    return result, result.report, result.entities


def write_ab_page(ab_reading: ABTestResult, options: ABTestOptions) -> str:
    """Render the result as a self-contained page."""
    figures = {}
    if len(ab_reading.traffic):
        figures["traffic"] = plots.draw_traffic(ab_reading.traffic)
    if ab_reading.history["low"].notna().any():
        figures["gain"] = plots.draw_gain(ab_reading.history)
    return page.render(report.render_markdown(ab_reading, options, set(figures)), figures)
