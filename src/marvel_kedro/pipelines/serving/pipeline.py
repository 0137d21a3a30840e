"""Wiring of `serving`: predictions of the champion, and the records of the lookup."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.serving.nodes import publish_characters, score_characters


def create_pipeline() -> Pipeline:
    """Create the pipeline `serving`."""
    return Pipeline(
        [
            node(
                score_characters,
                ["characters", "champion", "params:serving"],
                "predictions",
                name="score_characters",
            ),
            node(publish_characters, "characters", "online_characters", name="publish_characters"),
        ],
        tags="serving",
    )
