"""Wiring of `processing`: raw file to tables."""

from kedro.pipeline import Pipeline, node

from marvel_kedro.table import cleaning


def create_pipeline() -> Pipeline:
    """Make the pipeline `processing`."""
    return Pipeline(
        [
            node(cleaning.read_source, "raw_characters", "source_rows", name="read_source"),
            node(
                cleaning.summarise_quality,
                ["source_rows", "params:processing"],
                "data_quality",
                name="summarise_quality",
            ),
            node(
                cleaning.select_characters,
                ["source_rows", "data_quality"],
                "characters",
                name="select_characters",
            ),
            node(
                cleaning.select_rejected,
                "source_rows",
                "rejected_characters",
                name="select_rejected",
            ),
            node(
                cleaning.split_characters,
                ["characters", "params:processing"],
                ["train_set", "test_set", "split"],
                name="split_characters",
            ),
            node(
                cleaning.quality_metrics,
                "data_quality",
                "data_quality_metrics",
                name="quality_metrics",
            ),
        ],
        tags="processing",
    )
