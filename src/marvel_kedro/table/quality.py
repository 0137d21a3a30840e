"""Data quality of the source rows: counts of rejected rows, nulls and unusual categories."""

from collections.abc import Collection
from typing import Any

import narwhals as nw
from narwhals.typing import IntoFrame

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table import missing_markers
from marvel_kedro.table.cleaning import cleaned_texts, date_text, plain_number
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import lazily
from marvel_kedro.table.options import MISSING_MARKERS, QualityOptions

_FEW_VALUES = 20
_MOSTLY = 9  # times as many others as usable values: the column is of another kind


def summarise(
    source_rows: IntoFrame,
    table: TableSpec,
    options: QualityOptions,
    markers: Collection[str] = MISSING_MARKERS,
) -> dict[str, Any]:
    """Count usable and rejected rows, nulls and unusual values in `cleaning.read_source`'s rows.

    Returns:
        - `rows_in`, `rows_kept`, `rows_rejected`, and `rejected` (rows by reason);
        - `missing_markers`: of all rows, the cells with such a marker by column, if there are any;
        - of the usable rows, by column: `nulls`; `unusable` (cells of numbers and dates that are no
          plain decimals within their bounds, or dates of another form); `new_categories` (rows by
          unusual value, most frequent first, at most `options.examples`); `new_category_rows`
          (rows with any such value).
    """
    rows = lazily(source_rows)
    usable = rows.filter(nw.col("reason").is_null()).with_columns(cleaned_texts(table, markers))
    reasons = _counts_by_reason(rows, table, markers)
    marked = {
        name: sum(each.pop(f"_marked_{name}") for each in reasons.values())
        for name in table.columns
    }
    filled = reasons.pop("", {})
    kept = filled.pop("_rows", 0)
    usable_cells = {name: filled.pop(f"_usable_{name}", 0) for name in _checked(table)}
    numbers = {name: usable_cells[name] for name in table.numbers}
    rejected = {reason: counts["_rows"] for reason, counts in reasons.items()}
    rejected = dict(sorted(rejected.items(), key=lambda item: (-item[1], item[0])))
    usual = {name: column.values for name, column in table.columns.items() if column.values}
    return {
        "rows_in": kept + sum(rejected.values()),
        "rows_kept": kept,
        "rows_rejected": sum(rejected.values()),
        "rejected": rejected,
        "nulls": {name: kept - (filled | numbers).get(name, 0) for name in table.columns},
        "unusable": {name: filled.get(name, 0) - cells for name, cells in usable_cells.items()},
        "missing_markers": {name: cells for name, cells in marked.items() if cells},
    } | _new_categories(usable, usual, options)


def metrics(data_quality: dict[str, Any]) -> dict[str, float]:
    """Select the numbers of a summary that are worth a curve over runs, by metric name."""
    new = {f"new_{name}_rows": rows for name, rows in data_quality["new_category_rows"].items()}
    return {name: data_quality[name] for name in ("rows_in", "rows_kept", "rows_rejected")} | new


def require_usable_rows(data_quality: dict[str, Any], table: TableSpec) -> None:
    """Refuse a file without a usable row, or with text in place of a column's numbers.

    The tables of an earlier run stay as they are.
    """
    if not data_quality["rows_kept"]:
        key, target = map(table.source, (table.key, table.target.column))
        raise ProjectError(
            f"The raw file (raw_table) has no row that can be used; of its "
            f"{data_quality['rows_in']} rows these are rejected: {data_quality['rejected']}. "
            f"Correct its columns {key} and {target} ({' or '.join(table.target.classes)})."
        )
    for name, others in data_quality.get("unusable", {}).items():
        kind = table.columns[name].kind
        usable = data_quality["rows_kept"] - data_quality["nulls"][name]
        usable -= others * (kind == "date")  # such a cell stays, while one of a number is null
        if others > max(_FEW_VALUES, _MOSTLY * usable):
            raise ProjectError(
                f"The column {table.source(name)} of the raw file (raw_table) holds {others:,} "
                f"values that are no {kind}s as table.yml describes {name}, and {usable:,} that "
                "are. Correct the file, or describe it as it is now: kedro adopt."
            )


def _checked(table: TableSpec) -> dict[str, nw.Expr]:
    """Return the cells that are usable, else null, of the columns of numbers and dates."""
    return {
        name: plain_number(name, column) if column.is_number else date_text(name, column)
        for name, column in table.columns.items()
        if column.kind in ("number", "date") and name not in (table.key, table.target.column)
    }


def _counts_by_reason(
    rows: nw.LazyFrame[Any], table: TableSpec, markers: Collection[str]
) -> dict[str, dict[str, int]]:
    """Count, in one query and by reason, the rows and the values that are not null by column.

    The reason of usable rows is empty. `_usable_<column>` counts the cells that are numbers or
    dates, `_marked_<column>` those with a missing marker.
    """
    marked = {
        f"_marked_{name}": nw.when(missing_markers.is_marked(name, column, markers)).then(nw.lit(1))
        for name, column in table.columns.items()
    }
    usable = {f"_usable_{name}": cells for name, cells in _checked(table).items()}
    counted = [*table.columns, *usable, *marked]
    counts = (
        rows.with_columns(nw.col("reason").fill_null(""), **marked)
        .with_columns(cleaned_texts(table, markers))
        .with_columns(**usable)
        .group_by("reason")
        .agg(nw.len().alias("_rows"), *(nw.col(name).count() for name in counted))
    )
    return {
        str(reason): dict(zip(["_rows", *counted], map(int, values), strict=True))
        for reason, *values in counts.lazy().collect().iter_rows()
    }


def _new_categories(
    usable: nw.LazyFrame[Any], usual: dict[str, tuple[str, ...]], options: QualityOptions
) -> dict[str, Any]:
    """Count rows with unusual values by column: the most frequent values, and the total."""
    found: dict[str, dict[str, int]] = {column: {} for column in usual}
    totals = dict.fromkeys(usual, 0)
    new = [
        usable.filter(~nw.col(column).is_null() & ~nw.col(column).is_in(values)).select(
            nw.lit(column).alias("column"), nw.col(column).alias("value")
        )
        for column, values in usual.items()
    ]
    if new:  # one query for all columns
        rows = nw.col("rows").cast(nw.Int64)
        place = nw.col("_one").cum_sum().over("column", order_by=["_order", "value"])
        most_frequent = (
            nw.concat(new)
            .group_by("column", "value")
            .agg(nw.len().alias("rows"))
            .with_columns(
                (-rows).alias("_order"),
                nw.lit(1).alias("_one"),
                rows.sum().over("column").alias("total"),
            )
            .with_columns(place.alias("place"))
            .filter(nw.col("place") <= options.examples)
            .select("column", "place", "value", "rows", "total")
        )
        for column, _, value, count, total in sorted(most_frequent.lazy().collect().iter_rows()):
            found[column][str(value)] = int(count)
            totals[column] = int(total)
    return {"new_categories": found, "new_category_rows": totals}
