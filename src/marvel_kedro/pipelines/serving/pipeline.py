"""Wiring of `serving`: the champion scores the characters, and an endpoint gets their fields."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.serving import nodes


def create_pipeline() -> Pipeline:
    """Make the pipeline `serving`."""
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
