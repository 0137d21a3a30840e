"""Clean the raw file. Written with narwhals: any frame in, the same kind of frame out."""

import logging
import re
from collections.abc import Collection, Iterator
from typing import Any

import narwhals as nw
from narwhals.typing import IntoFrameT

from marvel_kedro.core.errors import ProjectError, shortened
from marvel_kedro.model.portable.fields import PLAIN_NUMBER
from marvel_kedro.table import missing_markers
from marvel_kedro.table.classes import to_class
from marvel_kedro.table.description import REMEDY, Column, TableSpec
from marvel_kedro.table.frames import lazily, with_safe_names
from marvel_kedro.table.hashing import with_md5
from marvel_kedro.table.missing_markers import WHITESPACE
from marvel_kedro.table.options import ProcessingOptions
from marvel_kedro.table.rejected_rows import with_reason

BYTE_ORDER_MARK = "\ufeff"  # at the start of a file, also where files were joined
DEFAULTS = ProcessingOptions()
_GROUPS = " '\u00a0\u2019\u202f"  # between thousands, beside the mark that is not the decimal one

_DATE_PARTS = {"%Y": "[0-9]{4}", "%b": "[a-z]{3,}[.]?", "%B": "[a-z]+", "%f": "[0-9]+"} | {
    f"%{part}": "[0-9]{1,2}" for part in "mdyHMSI"
}

logger = logging.getLogger(__name__)


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
    frame, safe = with_safe_names(lazily(raw_table))
    _check_columns(list(safe), table)
    texts = frame.select(
        (
            _cell(nw.col(safe[source]), table.columns[name])
            if source in safe
            else nw.lit(None, dtype=nw.String)
        ).alias(name)
        for source, name in table.sources.items()
    )
    texts = texts.with_columns(
        nw.when(nw.col(name) != "").then(nw.col(name)).alias(name)
        for name in table.sources.values()
    )
    if table.columns[table.key].row_hash:
        texts = _with_row_key(texts, table)
    texts = texts.select(*table.columns)
    return with_reason(texts, table, options.missing_markers).to_native()


def _with_row_key(texts: nw.LazyFrame[Any], table: TableSpec) -> nw.LazyFrame[Any]:
    """Make the key from the row: its MD5; further rows with the same contents are numbered."""
    key = nw.col(table.key)
    place = nw.col("_one").cum_sum().over(table.key, order_by=table.key)
    numbered = nw.concat_str(key, nw.col("_place").cast(nw.String), separator="-")
    return (
        with_md5(texts, list(table.sources.values()), into=table.key)
        .with_columns(nw.lit(1).alias("_one"))
        .with_columns(place.alias("_place"))
        .with_columns(nw.when(nw.col("_place") > 1).then(numbered).otherwise(key).alias(table.key))
    )


def _cell(text: nw.Expr, column: Column) -> nw.Expr:
    """Return a cell as text without white space around it, a number with the decimal point."""
    text = (
        text.cast(nw.String)
        .str.replace_all("\r\n", "\n", literal=True)  # Spark reads line ends in cells this way
        .str.strip_chars(WHITESPACE + BYTE_ORDER_MARK)
    )
    if column.decimal is None:
        return text
    mark = re.escape(column.decimal)
    group = f"[{_GROUPS}{',' if column.decimal == '.' else '.'}]"
    grouped = f"^[-+]?[0-9]{{1,3}}(?:{group}[0-9]{{3}})+(?:{mark}[0-9]*)?$"
    text = nw.when(text.str.contains(grouped)).then(text.str.replace_all(group, "")).otherwise(text)
    text = text.str.replace_all(column.decimal, ".", literal=True)
    for pattern, plain in ((r"^\+", ""), (r"^\.", "0."), (r"^-\.", "-0."), (r"\.$", "")):
        text = text.str.replace_all(pattern, plain)
    return text


def _check_columns(present: Collection[str], table: TableSpec) -> None:
    missing = [
        source
        for source, name in table.sources.items()
        if source not in present and table.columns[name].required
    ]
    if not missing:
        unknown = [name for name in present if name not in table.sources and is_named(name)]
        if unknown:
            logger.info(
                "The raw file has columns that table.yml does not describe, and that are ignored: "
                "%s",
                shortened(", ".join(unknown), 200),
            )
        return
    hint = (
        "Rename the file's columns, correct `source` of these columns, or describe the file as it "
        f"is now: kedro adopt. {REMEDY}"
    )
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if any(separator in column for column in present):
            hint = (
                f"The cells seem to be separated by {name}: save the file with commas, or set "
                "`read: {separator: ..}` in conf/base/table.yml."
            )
    raise ProjectError(
        f"The raw file (raw_table) lacks the columns {missing} of the table {table.name}; it has "
        f"{list(present)}. {hint}"
    )


def is_named(column: str) -> bool:
    """Tell a column's name from what pandas and Spark call one without a name, or an index."""
    return not re.fullmatch(r"Unnamed: \d+|_c\d+|__index_level_\d+__|", column)


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


def date_text(name: str, column: Column) -> nw.Expr:
    """Return the texts of a column that have the form of its dates, else null."""
    parts = re.split("(%.)", column.format or "%Y-%m-%d")
    form = "".join(
        _DATE_PARTS.get(part, ".+") if part[:1] == "%" else re.escape(part) for part in parts
    )
    end = "$" if column.format else "(?:$|[T ])"
    return nw.when(nw.col(name).str.contains(f"(?i)^{form}{end}")).then(nw.col(name)).alias(name)
