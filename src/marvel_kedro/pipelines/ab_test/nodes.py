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
from marvel_kedro.serving.configuration import EndpointOptions
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import AnyFrame


def compare_entities(
    ab_log: InferenceLog,
    served_entities: IntoFrame,
    labels: AnyFrame,
    options: ABTestOptions,
    table: TableSpec,
) -> tuple[ABTestResult, dict[str, Any], pd.DataFrame]:
    """Compare the served entities with the champion.

    Returns:
        The result, its report, and one row a served entity.
    """
    served = data.collect_columns(served_entities, data.SERVED_COLUMNS, options)
    warn_of_unknown_labels(labels, table)
    newest = newest_labels(labels, table).to_native()
    columns = (table.key, table.target.column, "labelled_at")
    known = data.collect_columns(newest, columns, options)
    result = comparison.compare(ab_log, served, known, options, table)
    return result, result.report, result.entities


def write_ab_page(
    ab_reading: ABTestResult, options: ABTestOptions, table: TableSpec, endpoint: EndpointOptions
) -> str:
    """Render the result as a self-contained page."""
    figures = {}
    if len(ab_reading.traffic):
        figures["traffic"] = plots.draw_traffic(ab_reading.traffic)
    if ab_reading.history["low"].notna().any():
        figures["gain"] = plots.draw_gain(ab_reading.history)
    text = report.render_markdown(ab_reading, options, table, endpoint.model, set(figures))
    return page.render(text, figures)
