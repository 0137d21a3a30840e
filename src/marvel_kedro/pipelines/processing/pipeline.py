"""Wiring of `processing`: from the raw file to clean tables."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.pipelines.processing import nodes
from marvel_kedro.table import quality
from marvel_kedro.table.cleaning import read_source
from marvel_kedro.table.rejected_rows import select_rejected


def create_pipeline() -> Pipeline:
    """Create the pipeline `processing`."""
    return Pipeline(
        [
            node(
                read_source,
                ["raw_table", "params:table", "params:processing"],
                "source_rows",
                name="read_source",
            ),
            node(
                nodes.summarise_quality,
                ["source_rows", "params:table", "params:processing"],
                "data_quality",
                name="summarise_quality",
            ),
            node(
                nodes.select_records,
                ["source_rows", "data_quality", "params:table", "params:processing"],
                "records",
                name="select_records",
            ),
            node(select_rejected, "source_rows", "rejected_records", name="select_rejected"),
            node(
                nodes.split_records,
                ["records", "params:table", "params:processing"],
                ["train_set", "test_set", "split"],
                name="split_records",
            ),
            node(quality.metrics, "data_quality", "data_quality_metrics", name="quality_metrics"),
        ],
        tags="processing",
    )
