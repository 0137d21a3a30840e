"""Wiring of `serving`: the champion scores the characters."""

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
            )
        ],
        tags="serving",
    )
