"""Wiring of `serving`: predictions of the champion, and the records of the lookup."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.serving.nodes import publish_records, score_records


def create_pipeline() -> Pipeline:
    """Create the pipeline `serving`."""
    return Pipeline(
        [
            node(
                score_records,
                ["records", "champion", "params:table", "params:serving"],
                "predictions",
                name="score_records",
            ),
            node(
                publish_records,
                ["records", "params:table"],
                "online_records",
                name="publish_records",
            ),
        ],
        tags="serving",
    )
