"""Clean the raw file. Written with narwhals: any frame in, the same kind of frame out."""

from collections.abc import Collection

import narwhals as nw
from narwhals.typing import IntoFrameT

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.portable import features
from marvel_kedro.table import missing_markers
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.missing_markers import WHITESPACE
from marvel_kedro.table.options import ProcessingOptions
from marvel_kedro.table.rejected_rows import with_reason

SOURCE_COLUMNS = {
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
"""Column names of the table by column name of the source file, in the table's order."""

COLUMNS = tuple(SOURCE_COLUMNS.values())
MEASUREMENTS = ("height", "weight")
OPTIONAL = {"URL", "Creators"}
BYTE_ORDER_MARK = "\ufeff"  # at the start of a file, also where files were joined
DEFAULTS = ProcessingOptions()


def read_source(raw_characters: IntoFrameT, options: ProcessingOptions = DEFAULTS) -> IntoFrameT:
    """Rename the columns of the source file, normalise its cells and mark the rejected rows.

    Returns:
        One row per source row: `COLUMNS` as text (null where empty, missing markers as written),
        and `reason`, which is null for usable rows (see `rejected_rows.with_reason`).

    Raises:
        ProjectError: A required column is missing.
    """
    frame = lazily(raw_characters)
    present = frame.collect_schema().names()
    _check_columns(present)
    texts = frame.select(
        (
            nw.col(source)
            .cast(nw.String)
            .str.replace_all("\r\n", "\n", literal=True)  # Spark reads line ends in cells this way
            .str.strip_chars(WHITESPACE + BYTE_ORDER_MARK)
            if source in present
            else nw.lit(None, dtype=nw.String)
        ).alias(name)
        for source, name in SOURCE_COLUMNS.items()
    ).with_columns(nw.when(nw.col(name) != "").then(nw.col(name)).alias(name) for name in COLUMNS)
    header = {name: source for source, name in SOURCE_COLUMNS.items() if source not in OPTIONAL}
    key = missing_markers.replace("page_id", options.missing_markers)
    return with_reason(texts, COLUMNS, key, header).to_native()


def _check_columns(present: Collection[str]) -> None:
    missing = [name for name in SOURCE_COLUMNS if name not in {*present, *OPTIONAL}]
    if not missing:
        return
    hint = "Rename the file's columns, or bring the Kaggle file mohitbansal31s/marvel-characters."
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if any(separator in column for column in present):
            hint = (
                f"The cells seem to be separated by {name}: save the file with commas, or set "
                "load_args.sep of raw_characters in conf/base/processing/catalog.yml."
            )
    raise ProjectError(
        f"The raw file (raw_characters) lacks the columns {missing}; it has {list(present)}. {hint}"
    )


def select_usable(source_rows: IntoFrameT, options: ProcessingOptions = DEFAULTS) -> IntoFrameT:
    """Select the usable rows.

    Missing markers and measurements that are not plain positive numbers become null.
    """
    return (
        lazily(source_rows)
        .filter(nw.col("reason").is_null())
        .drop("reason")
        .with_columns(missing_markers.replace(name, options.missing_markers) for name in COLUMNS)
        .with_columns(plain_number(name) for name in MEASUREMENTS)
        .to_native()
    )


def plain_number(name: str) -> nw.Expr:
    """Parse a text column as numbers; null where the text is not a number that models read."""
    # Metres and kilograms in plain decimals; `1,80`, `inf` and `6 ft` do not match.
    plain = nw.col(name).str.contains(f"^{features.PLAIN_NUMBER}$")
    number = nw.when(plain).then(nw.col(name)).cast(nw.Float64)
    return nw.when((number > features.ABOVE) & (number < features.BELOW)).then(number).alias(name)
