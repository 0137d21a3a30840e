"""Wiring of `synthetic`: a raw file out of nothing."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.synthetic import nodes


def create_pipeline() -> Pipeline:
    """Make the pipeline `synthetic`."""
    return Pipeline(
        [
            node(
                nodes.make_characters,
                "params:synthetic",
                "raw_characters",
                name="make_characters",
            )
        ],
        tags="synthetic",
    )
