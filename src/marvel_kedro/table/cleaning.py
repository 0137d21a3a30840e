"""Clean the raw file. Written with narwhals: any frame in, the same kind of frame out."""

from collections.abc import Collection, Iterator

import narwhals as nw
from narwhals.typing import IntoFrameT

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.portable.fields import PLAIN_NUMBER
from marvel_kedro.table import missing_markers
from marvel_kedro.table.classes import to_class
from marvel_kedro.table.description import REMEDY, Column, TableSpec
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.missing_markers import WHITESPACE
from marvel_kedro.table.options import ProcessingOptions
from marvel_kedro.table.rejected_rows import with_reason

BYTE_ORDER_MARK = "\ufeff"  # at the start of a file, also where files were joined
DEFAULTS = ProcessingOptions()


def read_source(
    raw_table: IntoFrameT, table: TableSpec, options: ProcessingOptions = DEFAULTS
) -> IntoFrameT:
    """Rename the columns of the source file, normalise its cells and mark the rejected rows.

    Returns:
        One row per source row: the columns of the table as text (null where empty, missing markers
        as written), and `reason`, which is null for usable rows (see `rejected_rows.with_reason`).

    Raises:
        ProjectError: A required column is missing.
    """
    frame = lazily(raw_table)
    present = frame.collect_schema().names()
    _check_columns(present, table)
    texts = frame.select(
        (
            nw.col(source)
            .cast(nw.String)
            .str.replace_all("\r\n", "\n", literal=True)  # Spark reads line ends in cells this way
            .str.strip_chars(WHITESPACE + BYTE_ORDER_MARK)
            if source in present
            else nw.lit(None, dtype=nw.String)
        ).alias(name)
        for source, name in table.sources.items()
    )
    texts = texts.with_columns(
        nw.when(nw.col(name) != "").then(nw.col(name)).alias(name) for name in table.columns
    )
    return with_reason(texts, table, options.missing_markers).to_native()


def _check_columns(present: Collection[str], table: TableSpec) -> None:
    missing = [
        source
        for source, name in table.sources.items()
        if source not in present and table.columns[name].required
    ]
    if not missing:
        return
    hint = f"Rename the file's columns, or correct `source` of these columns. {REMEDY}"
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if any(separator in column for column in present):
            hint = (
                f"The cells seem to be separated by {name}: save the file with commas, or set "
                "load_args.sep of raw_table in conf/base/processing/catalog.yml."
            )
    raise ProjectError(
        f"The raw file (raw_table) lacks the columns {missing} of the table {table.name}; it has "
        f"{list(present)}. {hint}"
    )


def select_usable(
    source_rows: IntoFrameT, table: TableSpec, options: ProcessingOptions = DEFAULTS
) -> IntoFrameT:
    """Select the usable rows.

    Missing markers and numbers that are not plain decimals within their bounds become null.
    """
    usable = lazily(source_rows).filter(nw.col("reason").is_null()).drop("reason")
    return (
        usable.with_columns(cleaned_texts(table, options.missing_markers))
        .with_columns(plain_number(name, table.columns[name]) for name in table.numbers)
        .to_native()
    )


def cleaned_texts(table: TableSpec, markers: Collection[str]) -> Iterator[nw.Expr]:
    """Yield the texts of each column without missing markers, and the class of the target."""
    for name, column in table.columns.items():
        if name == table.target.column:
            yield to_class(table.target, markers)
        else:
            yield missing_markers.replace(name, column, markers)


def plain_number(name: str, column: Column) -> nw.Expr:
    """Parse a text column as numbers; null where the text is not a number that models read."""
    # Plain decimals; `1,80`, `inf` and `6 ft` do not match.
    plain = nw.col(name).str.contains(f"^{PLAIN_NUMBER}$")
    number = nw.when(plain).then(nw.col(name)).cast(nw.Float64)
    low, high = column.bounds
    return nw.when((number > low) & (number < high)).then(number).alias(name)
