"""Nodes of `processing`: from the raw file to clean tables."""

from typing import Any

from narwhals.typing import IntoFrame, IntoFrameT

from marvel_kedro.table import cleaning, quality
from marvel_kedro.table.options import ProcessingOptions
from marvel_kedro.table.split import split_table


def summarise_quality(source_rows: IntoFrame, options: ProcessingOptions) -> dict[str, Any]:
    """Summarise the data quality of the source rows."""
    return quality.summarise(source_rows, options.quality, options.missing_markers)


def select_characters(
    source_rows: IntoFrameT,
    data_quality: dict[str, Any],
    options: ProcessingOptions = cleaning.DEFAULTS,
) -> IntoFrameT:
    """Select the usable rows.

    Raises:
        ProjectError: There is none.
    """
    quality.require_usable_rows(data_quality)
    return cleaning.select_usable(source_rows, options)


def split_characters(
    characters: IntoFrameT, options: ProcessingOptions
) -> tuple[IntoFrameT, IntoFrameT, dict[str, Any]]:
    """Split the characters into the train set, the test set and the record of the split."""
    return *split_table(characters, options.split), options.split.model_dump()
