"""Wiring of `synthetic`: a raw file out of nothing."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.characters import synthetic


def create_pipeline() -> Pipeline:
    """Make the pipeline `synthetic`."""
    return Pipeline(
        [
            node(
                synthetic.make_characters,
                "params:synthetic",
                "raw_characters",
                name="make_characters",
            )
        ],
        tags="synthetic",
    )
