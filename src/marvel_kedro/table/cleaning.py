"""Raw file to clean tables. Written with narwhals: any frame in, the same kind of frame out."""

from collections.abc import Iterable
from typing import Any

import narwhals as nw
from narwhals.typing import IntoFrameT

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.portable import features
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.options import ProcessingOptions, QualityOptions
from marvel_kedro.table.split import with_side

RENAMED = {
    "PageID": "page_id",
    "Name": "name",
    "Universe": "universe",
    "URL": "url",
    "Identity": "identity",
    "Gender": "gender",
    "Marital Status": "marital_status",
    "Teams": "teams",
    "Origin": "origin",
    "Creators": "creators",
    "Height (m)": "height",
    "Weight (kg)": "weight",
    "Alive": "alive",
}
"""The columns of the source file, in the order of the table `characters`."""

NOT_NEEDED = {"URL", "Creators"}
MEASUREMENTS = ("height", "weight")

# Python's idea of whitespace, spelt out: each engine has another.
WHITESPACE = "".join(filter(str.isspace, map(chr, range(0x3001))))

# Metres and kilograms in plain decimals; `1,80`, `inf` and `6 ft` are none.
_PLAIN_NUMBER = f"^{features.PLAIN_NUMBER}$"


def read_source(raw_characters: IntoFrameT) -> IntoFrameT:
    """Name the columns as the project does, and say why a row cannot be used.

    Args:
        raw_characters: The source file: text columns under the source's names.

    Returns:
        One row a source row: the columns of `characters` as text (null where empty), and `reason`
        (null where the row can be used; `no page_id`, `unknown alive` or `repeated page_id`).
        Of the rows with one page id the first in the order of their contents is kept,
        wherever it stands in the file.

    Raises:
        ProjectError: A needed column is missing.
    """
    frame = lazily(raw_characters)
    present = frame.collect_schema().names()
    check_columns(present)
    texts = frame.select(
        (
            nw.col(source)
            .cast(nw.String)
            .str.replace_all("\r\n", "\n", literal=True)  # as Spark reads it within a cell
            .str.strip_chars(WHITESPACE)
            if source in present
            else nw.lit(None, dtype=nw.String)
        ).alias(name)
        for source, name in RENAMED.items()
    ).with_columns(
        nw.when(nw.col(name) != "").then(nw.col(name)).alias(name) for name in RENAMED.values()
    )
    usable = ~nw.col("page_id").is_null() & nw.col("alive").is_in(["Alive", "Dead"])
    contents = nw.concat_str(
        *(nw.col(name).fill_null("") for name in RENAMED.values()), separator="\x1f"
    )
    return (
        texts.with_columns(
            nw.when(usable).then(nw.col("page_id")).alias("_usable"),
            contents.alias("_contents"),
            nw.lit(1).alias("_one"),
        )
        # Not `cum_count`: on pandas narwhals 2.29 counts a partitioning or ordering column wrongly.
        .with_columns(
            nw.col("_one").cum_sum().over("_usable", order_by="_contents").alias("_place")
        )
        .with_columns(
            nw.when(nw.col("page_id").is_null())
            .then(nw.lit("no page_id"))
            .otherwise(
                nw.when(nw.col("_usable").is_null())
                .then(nw.lit("unknown alive"))
                .otherwise(nw.when(nw.col("_place") > 1).then(nw.lit("repeated page_id")))
            )
            .alias("reason")
        )
        .drop("_usable", "_contents", "_one", "_place")
        .to_native()
    )


def check_columns(present: Iterable[str]) -> None:
    """Refuse a file that lacks needed columns.

    Raises:
        ProjectError: It names the missing columns and what may be the matter.
    """
    present = list(present)
    missing = [name for name in RENAMED if name not in present and name not in NOT_NEEDED]
    if not missing:
        return
    hint = "Rename the file's columns, or bring the Kaggle file mohitbansal31s/marvel-characters."
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if any(separator in column for column in present):
            hint = (
                f"The cells seem to be parted by {name}: save the file with commas, or set "
                f"load_args.sep of raw_characters in conf/base/processing/catalog.yml."
            )
    raise ProjectError(
        f"The raw file (raw_characters) lacks the columns {missing}; it has {present}. {hint}"
    )


def select_characters(source_rows: IntoFrameT, data_quality: dict[str, Any]) -> IntoFrameT:
    """Make the table `characters`.

    Args:
        source_rows: What `read_source` returns.
        data_quality: What `summarise_quality` says of it.

    Raises:
        ProjectError: There is no usable row. Tables of an earlier run stay as they are.
    """
    if not data_quality["rows_kept"]:
        raise ProjectError(
            f"The raw file (raw_characters) has no row that can be used; of its "
            f"{data_quality['rows_in']} rows these are rejected: {data_quality['rejected']}. "
            "Mend its columns PageID and Alive (Alive or Dead)."
        )
    return select_usable(source_rows)


def select_usable(source_rows: IntoFrameT) -> IntoFrameT:
    """Keep the usable rows; a measurement that is no plain positive number becomes null."""
    return (
        lazily(source_rows)
        .filter(nw.col("reason").is_null())
        .drop("reason")
        .with_columns(_number(name) for name in MEASUREMENTS)
        .to_native()
    )


def select_rejected(source_rows: IntoFrameT) -> IntoFrameT:
    """Keep the rows that cannot be used, as they were read, with the `reason`."""
    return lazily(source_rows).filter(~nw.col("reason").is_null()).to_native()


def split_characters(
    characters: IntoFrameT, options: ProcessingOptions
) -> tuple[IntoFrameT, IntoFrameT, dict[str, Any]]:
    """Deal characters to a train and a test set by a hash of `options.split.by`.

    Returns:
        The train set and the test set, with the columns of `characters`, and the split itself,
        which a model trained on the one must be known by.
    """
    frame = with_side(lazily(characters), options.split, into="_is_test")
    return (
        frame.filter(~nw.col("_is_test")).drop("_is_test").to_native(),
        frame.filter(nw.col("_is_test")).drop("_is_test").to_native(),
        options.split.model_dump(),
    )


def summarise_quality(source_rows: IntoFrameT, options: ProcessingOptions) -> dict[str, Any]:
    """Count what came in, what is kept, and what is odd about it.

    Args:
        source_rows: What `read_source` returns.
        options: Which categories are expected.

    Returns:
        `rows_in`, `rows_kept`, `rows_rejected`, `rejected` (rows by reason), `nulls` (rows by
        column), `unusable` (measurements that were given but are no plain positive number),
        `new_categories` (by column: rows by value that is not expected, most frequent first, so
        many as `examples` says) and `new_category_rows` (by column: rows with any such value).
    """
    rows = lazily(source_rows)
    reasons = _filled_by_reason(rows)
    usable = reasons.pop(None, {})
    rows_kept = usable.pop("rows", 0)
    numbers = {name: usable.pop(f"{name}_number", 0) for name in MEASUREMENTS}
    rejected = {str(reason): filled["rows"] for reason, filled in reasons.items()}
    rejected = dict(sorted(rejected.items(), key=lambda item: (-item[1], item[0])))
    return {
        "rows_in": rows_kept + sum(rejected.values()),
        "rows_kept": rows_kept,
        "rows_rejected": sum(rejected.values()),
        "rejected": rejected,
        "nulls": {name: rows_kept - (usable | numbers).get(name, 0) for name in RENAMED.values()},
        "unusable": {name: usable.get(name, 0) - numbers[name] for name in MEASUREMENTS},
    } | _unexpected(rows.filter(nw.col("reason").is_null()), options.quality)


def quality_metrics(data_quality: dict[str, Any]) -> dict[str, float]:
    """Flatten the data-quality summary to the figures that are worth a curve over runs."""
    return {
        "rows_in": data_quality["rows_in"],
        "rows_kept": data_quality["rows_kept"],
        "rows_rejected": data_quality["rows_rejected"],
    } | {f"new_{column}_rows": rows for column, rows in data_quality["new_category_rows"].items()}


def _number(name: str) -> nw.Expr:
    plain = nw.col(name).str.contains(_PLAIN_NUMBER)
    number = nw.when(plain).then(nw.col(name)).cast(nw.Float64)
    return nw.when((number > features.ABOVE) & (number < features.BELOW)).then(number).alias(name)


def _filled_by_reason(rows: nw.LazyFrame[Any]) -> dict[str | None, dict[str, int]]:
    """In one pass, by reason: its rows, and how many are filled by column.

    `height_number` and `weight_number` are those of the measurements that are numbers.
    """
    counts = (
        rows.with_columns(_number(name).alias(f"{name}_number") for name in MEASUREMENTS)
        .group_by("reason")
        .agg(
            nw.len().alias("rows"),
            *(nw.col(name).count() for name in RENAMED.values()),
            *(nw.col(f"{name}_number").count() for name in MEASUREMENTS),
        )
    )
    found = {}
    for row in counts.lazy().collect().rows(named=True):
        reason = row.pop("reason")
        missing = reason is None or reason != reason  # noqa: PLR0124 - NaN
        found[None if missing else str(reason)] = {name: int(row[name]) for name in row}
    return found


def _unexpected(kept: nw.LazyFrame[Any], quality: QualityOptions) -> dict[str, Any]:
    """By column: the most frequent values that are not expected, with their rows, and all rows."""
    new = [
        kept.filter(~nw.col(column).is_null() & ~nw.col(column).is_in(expected)).select(
            nw.lit(column).alias("column"), nw.col(column).alias("value")
        )
        for column, expected in quality.expected.items()
    ]
    found: dict[str, dict[str, int]] = {column: {} for column in quality.expected}
    totals = dict.fromkeys(quality.expected, 0)
    if new:  # one query for all columns
        counts = nw.concat(new).group_by("column", "value").agg(nw.len().alias("rows"))
        most = (
            counts.with_columns(
                (-nw.col("rows").cast(nw.Int64)).alias("_order"),
                nw.lit(1).alias("_one"),
                nw.col("rows").cast(nw.Int64).sum().over("column").alias("total"),
            )
            .with_columns(
                nw.col("_one").cum_sum().over("column", order_by=["_order", "value"]).alias("place")
            )
            .filter(nw.col("place") <= quality.examples)
            .select("column", "place", "value", "rows", "total")
        )
        for column, _, value, rows, total in sorted(most.lazy().collect().iter_rows()):
            found[column][str(value)] = int(rows)
            totals[column] = int(total)
    return {"new_categories": found, "new_category_rows": totals}
