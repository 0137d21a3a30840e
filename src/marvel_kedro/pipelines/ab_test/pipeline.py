"""Wiring of the `ab_test` pipeline: the inference table and labels to the A/B test report."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.monitoring.ab_test import data
from marvel_kedro.pipelines.ab_test import nodes


def create_pipeline() -> Pipeline:
    """Create the `ab_test` pipeline."""
    return Pipeline(
        [
            node(
                data.read_requests,
                ["inference_payload", "params:ab_test", "params:table"],
                "ab_log",
                name="read_requests",
            ),
            node(
                nodes.compare_entities,
                ["ab_log", "served_entities", "labels", "params:ab_test", "params:table"],
                ["ab_reading", "ab_report", "ab_entities"],
                name="compare_entities",
            ),
            node(
                nodes.write_ab_page,
                ["ab_reading", "params:ab_test", "params:table", "params:endpoint"],
                "ab_page",
                name="write_ab_page",
            ),
        ],
        tags="ab_test",
    )
