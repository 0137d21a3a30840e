"""Read the inference table, compare the served entities, write it down."""

from datetime import timedelta
from typing import Any

import narwhals as nw
import pandas as pd
from narwhals.typing import IntoFrame

from marvel_kedro.core import page
from marvel_kedro.monitoring.ab_test import comparison, plots, report
from marvel_kedro.monitoring.ab_test.comparison import ABTestOptions, Reading
from marvel_kedro.monitoring.inference_log import parsing
from marvel_kedro.monitoring.inference_log.parsing import InferenceLog
from marvel_kedro.table.frames import collect, lazily

SERVED_COLUMNS = ("served_entity_id", "served_entity_name", "entity_version", "change_time")
LABEL_COLUMNS = ("page_id", "alive", "labelled_at")
_SETTING = "ab_test.max_requests"


def read_requests(inference_payload: IntoFrame, options: ABTestOptions) -> InferenceLog:
    """Read the inference table: one row a request, one a scored record, and what is rejected.

    Raises:
        ProjectError: It is no inference table, or too long.
    """
    payload = lazily(inference_payload)
    names = payload.collect_schema().names()
    parsing.check_columns(names)
    rows = _near(payload, options).select(*parsing.PAYLOAD_COLUMNS).to_native()
    return parsing.parse_payload(collect(rows, options.max_requests, _SETTING))


def compare_entities(
    ab_log: InferenceLog, served_entities: IntoFrame, labels: IntoFrame, options: ABTestOptions
) -> tuple[Reading, dict[str, Any], pd.DataFrame]:
    """Measure every served entity and hold the others against the champion.

    Returns:
        The reading, its report, and one row a served entity.
    """
    served, labelled = (
        collect(lazily(table).select(*columns).to_native(), options.max_requests, _SETTING)
        for table, columns in ((served_entities, SERVED_COLUMNS), (labels, LABEL_COLUMNS))
    )
    reading = comparison.read(ab_log, served, labelled, options)
    return reading, reading.report, reading.entities


def write_ab_page(ab_reading: Reading, options: ABTestOptions) -> str:
    """Write the reading as one page that needs nothing else."""
    figures = {}
    if len(ab_reading.traffic):
        figures["traffic"] = plots.draw_traffic(ab_reading.traffic)
    if ab_reading.history["low"].notna().any():
        figures["gain"] = plots.draw_gain(ab_reading.history)
    return page.render(report.render_markdown(ab_reading, options, set(figures)), figures)


def _near(payload: Any, options: ABTestOptions) -> Any:  # noqa: ANN401 - a lazy frame
    """Leave on the engine what is out of the window by more than a day; what counts are times."""
    day, slack = nw.col("request_date"), timedelta(days=1)
    if options.since:
        payload = payload.filter(day >= options.since - slack)
    if options.until:
        payload = payload.filter(day <= options.until + slack)
    return payload
