"""Wiring of `synthetic`: a raw file without any input."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.synthetic import nodes


def create_pipeline() -> Pipeline:
    """Create the pipeline `synthetic`."""
    inputs = ["params:synthetic", "params:table"]
    make = node(nodes.make_rows, inputs, "raw_table", name="make_rows")
    return Pipeline([make], tags="synthetic")
