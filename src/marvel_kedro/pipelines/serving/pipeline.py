"""Wiring of `serving`: predictions of the champion, and the records of the lookup."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.serving import nodes


def create_pipeline() -> Pipeline:
    """Create the pipeline `serving`."""
    return Pipeline(
        [
            node(
                nodes.score_characters,
                ["characters", "champion", "params:serving"],
                "predictions",
                name="score_characters",
            ),
            node(
                nodes.publish_characters,
                "characters",
                "online_characters",
                name="publish_characters",
            ),
        ],
        tags="serving",
    )
