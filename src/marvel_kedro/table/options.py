"""Parameters of processing, in a module that imports only pydantic."""

from typing import Literal

from pydantic import Field

from marvel_kedro.core.options import Options


class SplitOptions(Options):
    """Parameters of the split into `train_set` and `test_set`."""

    by: Literal["key", "group"] = "key"  # of the table description: the column that is hashed
    test_share: float = Field(0.2, gt=0, lt=1)


class RecordedSplit(SplitOptions):
    """A split with the column that was hashed, which the description may no longer name."""

    column: str


class QualityOptions(Options):
    """Parameters of the data-quality summary: at most `examples` new categories are listed."""

    examples: int = Field(20, ge=1)


MISSING_MARKERS = (
    "NA", "N/A", "#N/A", "n/a", "<NA>", "NULL", "null", "(null)", "NaN", "nan", "None", "none",
    "\\N", "-", "--",
)  # fmt: skip
"""What pandas, R, Excel, MySQL, PostgreSQL, Hive and Spark write for a missing value."""


class ProcessingOptions(Options):
    """The section `processing` of the parameters.

    A cell, or an item of a set, that is one of `missing_markers` is missing; texts without a
    feature are left as they are.
    """

    missing_markers: list[str] = Field(list(MISSING_MARKERS))

    split: SplitOptions = SplitOptions()
    quality: QualityOptions = QualityOptions()
