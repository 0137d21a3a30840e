"""Nodes of `processing`: from the raw file to clean tables."""

from typing import Any

from narwhals.typing import IntoFrame, IntoFrameT

from marvel_kedro.table import cleaning, quality
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.options import ProcessingOptions
from marvel_kedro.table.split import record, split_table


def summarise_quality(
    source_rows: IntoFrame, table: TableSpec, options: ProcessingOptions
) -> dict[str, Any]:
    """Summarise the data quality of the source rows."""
    return quality.summarise(source_rows, table, options.quality, options.missing_markers)


def select_records(
    source_rows: IntoFrameT,
    data_quality: dict[str, Any],
    table: TableSpec,
    options: ProcessingOptions = cleaning.DEFAULTS,
) -> IntoFrameT:
    """Select the usable rows.

    Raises:
        ProjectError: There is none.
    """
    quality.require_usable_rows(data_quality, table)
    return cleaning.select_usable(source_rows, table, options)


def split_records(
    records: IntoFrameT, table: TableSpec, options: ProcessingOptions
) -> tuple[IntoFrameT, IntoFrameT, dict[str, Any]]:
    """Split the records into the train set, the test set and the record of the split."""
    return *split_table(records, table, options.split), record(table, options.split).model_dump()
