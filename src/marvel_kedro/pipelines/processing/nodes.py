"""Raw file to clean tables. Written with narwhals: any frame in, the same kind of frame out."""

from collections.abc import Iterable
from typing import Any, Literal

import narwhals as nw
from narwhals.typing import IntoFrameT
from pydantic import Field

from marvel_kedro.errors import ProjectError
from marvel_kedro.frames import lazily
from marvel_kedro.options import Options
from marvel_kedro.pipelines.processing.crc32 import with_crc32

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
TEXTS = tuple(name for name in RENAMED.values() if name not in MEASUREMENTS)

# Metres and kilograms in plain decimals; `1,80`, `inf`, `-1` and `6 ft` are none.
_PLAIN_NUMBER = r"^[0-9]{1,6}(?:\.[0-9]+)?$"
_BUCKETS = 10_000


class SplitOptions(Options):
    """How characters are dealt to `train_set` and `test_set`."""

    by: Literal["page_id", "name"] = "page_id"
    test_share: float = Field(0.2, gt=0, lt=1)


class QualityOptions(Options):
    """What the data-quality summary holds the table against."""

    expected: dict[str, list[str]] = Field(default_factory=dict)
    examples: int = Field(20, ge=1)


class ProcessingOptions(Options):
    """The section `processing` of the parameters."""

    split: SplitOptions = SplitOptions()
    quality: QualityOptions = QualityOptions()


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
            nw.col(source).cast(nw.String).str.strip_chars()
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


def select_characters(source_rows: IntoFrameT) -> IntoFrameT:
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
) -> tuple[IntoFrameT, IntoFrameT]:
    """Deal characters to a train and a test set by a hash of `options.split.by`.

    A row's side depends on nothing but that column, so it is the same on every engine, in every
    run and in any row order; an old train set and a new test set never share a character.

    Returns:
        The train set and the test set, with the columns of `characters`.
    """
    frame = with_crc32(lazily(characters), options.split.by, into="_crc32")
    is_test = nw.col("_crc32") % _BUCKETS < round(options.split.test_share * _BUCKETS)
    return (
        frame.filter(~is_test).drop("_crc32").to_native(),
        frame.filter(is_test).drop("_crc32").to_native(),
    )


def summarise_quality(
    source_rows: IntoFrameT, characters: IntoFrameT, options: ProcessingOptions
) -> dict[str, Any]:
    """Count what came in, what was kept, and what is odd about it.

    Args:
        source_rows: What `read_source` returns.
        characters: The table made from it.
        options: Which categories are expected.

    Returns:
        `rows_in`, `rows_kept`, `rows_rejected`, `rejected` (rows by reason), `nulls` (rows by
        column), `unusable` (measurements that were given but are no plain positive number),
        and `new_categories` (by column: rows by value that is not expected, most frequent first).
    """
    rows = lazily(source_rows)
    kept = lazily(characters)
    rejected = _counts(rows.filter(~nw.col("reason").is_null()), "reason")
    nulls = _one_row(kept.select(nw.all().null_count()))
    given = _one_row(rows.filter(nw.col("reason").is_null()).select(nw.col(*MEASUREMENTS).count()))
    rows_in = _one_row(rows.select(nw.len().alias("rows")))["rows"]
    rows_kept = rows_in - sum(rejected.values())
    return {
        "rows_in": rows_in,
        "rows_kept": rows_kept,
        "rows_rejected": sum(rejected.values()),
        "rejected": rejected,
        "nulls": nulls,
        "unusable": {name: given[name] - (rows_kept - nulls[name]) for name in MEASUREMENTS},
        "new_categories": {
            column: dict(
                list(
                    _counts(
                        kept.filter(~nw.col(column).is_null() & ~nw.col(column).is_in(expected)),
                        column,
                    ).items()
                )[: options.quality.examples]
            )
            for column, expected in options.quality.expected.items()
        },
    }


def quality_metrics(data_quality: dict[str, Any]) -> dict[str, float]:
    """Flatten the data-quality summary to the figures that are worth a curve over runs."""
    return {
        "rows_in": data_quality["rows_in"],
        "rows_kept": data_quality["rows_kept"],
        "rows_rejected": data_quality["rows_rejected"],
    } | {
        f"new_{column}_rows": sum(values.values())
        for column, values in data_quality["new_categories"].items()
    }


def _number(name: str) -> nw.Expr:
    plain = nw.col(name).str.contains(_PLAIN_NUMBER)
    number = nw.when(plain).then(nw.col(name)).cast(nw.Float64)
    return nw.when(number > 0).then(number).alias(name)


def _one_row(frame: nw.DataFrame[Any] | nw.LazyFrame[Any]) -> dict[str, int]:
    return {name: int(value) for name, value in frame.lazy().collect().rows(named=True)[0].items()}


def _counts(frame: nw.DataFrame[Any] | nw.LazyFrame[Any], column: str) -> dict[str, int]:
    """Rows by value, most frequent first."""
    counts = frame.group_by(column).agg(nw.len().alias("rows")).lazy().collect()
    return {
        str(value): int(rows)
        for value, rows in sorted(counts.iter_rows(), key=lambda row: (-row[1], row[0]))
    }
