"""Nodes of `processing`: from the raw file to clean tables."""

from typing import Any

from narwhals.typing import IntoFrame, IntoFrameT

from marvel_kedro.table import cleaning, quality, rejected_rows
from marvel_kedro.table.options import ProcessingOptions
from marvel_kedro.table.split import split_table


def read_source(raw_characters: IntoFrameT) -> IntoFrameT:
    """Read the raw file as text, with the `reason` of each row that is rejected."""
    return cleaning.read_source(raw_characters)


def summarise_quality(source_rows: IntoFrame, options: ProcessingOptions) -> dict[str, Any]:
    """Summarise the data quality of the source rows."""
    return quality.summarise(source_rows, options.quality)


def select_characters(source_rows: IntoFrameT, data_quality: dict[str, Any]) -> IntoFrameT:
    """Select the usable rows.

    Raises:
        ProjectError: There is none.
    """
    quality.require_usable_rows(data_quality)
    return cleaning.select_usable(source_rows)


def select_rejected(source_rows: IntoFrameT) -> IntoFrameT:
    """Select the rejected rows, with their `reason`."""
    return rejected_rows.select_rejected(source_rows)


def split_characters(
    characters: IntoFrameT, options: ProcessingOptions
) -> tuple[IntoFrameT, IntoFrameT, dict[str, Any]]:
    """Split the characters into the train set, the test set and the record of the split."""
    return *split_table(characters, options.split), options.split.model_dump()


def quality_metrics(data_quality: dict[str, Any]) -> dict[str, float]:
    """Select the metrics of the data quality that MLflow tracks."""
    return quality.metrics(data_quality)
