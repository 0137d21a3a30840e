"""Wiring of `synthetic`: a raw file without any input."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.synthetic import nodes


def create_pipeline() -> Pipeline:
    """Create the pipeline `synthetic`."""
    make = node(nodes.make_characters, "params:synthetic", "raw_table", name="make_characters")
    return Pipeline([make], tags="synthetic")
