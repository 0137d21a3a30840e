"""Counts of samples, as an engine would return them, and their metrics."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from support.table import TABLE as DESCRIBED

from marvel_kedro.model.metrics import Floats
from marvel_kedro.monitoring.aggregation.value_counts import (
    Distribution,
    Group,
    Kind,
    ScoreCounts,
    Segment,
    Window,
)
from marvel_kedro.monitoring.metrics.drift import drift_metrics
from marvel_kedro.monitoring.tables import DRIFT_METRICS, TABLE

CLASSES = DESCRIBED.target.classes
START = datetime(2026, 1, 5, tzinfo=UTC)
ALL = Segment("3")


def window(day: int, granularity: str = "1 day", days: int = 1) -> Window:
    start = START + timedelta(days=day)
    return Window(granularity, start, start + timedelta(days=days))


def distribution(sample: Sequence[Any], kind: Kind = "number") -> Distribution:
    """Count a sample; None is null, and free text is counted by its length."""
    known = [value for value in sample if value is not None]
    nulls = len(sample) - len(known)
    if kind == "category":
        values, rows = np.unique(np.array(known, dtype=str), return_counts=True)
        return Distribution(kind, values.astype(object), rows.astype(np.int64), nulls)
    numbers = np.array([len(value) if kind == "text" else value for value in known], np.float64)
    finite = np.isfinite(numbers)
    values, rows = np.unique(numbers[finite], return_counts=True)
    return Distribution(kind, values, rows.astype(np.int64), nulls, int((~finite).sum()))


def scored(
    probability: Sequence[float] | Floats,
    predicted: Sequence[bool] | None = None,
    positive: Sequence[bool | None] | None = None,
) -> ScoreCounts:
    """Count scored records; `positive` is None for an unknown label."""
    probabilities = np.asarray(probability, np.float64)
    predictions = probabilities >= 0.5 if predicted is None else np.asarray(predicted, np.bool_)
    labels = [None] * len(probabilities) if positive is None else list(positive)
    labelled = np.array([label is not None for label in labels], np.bool_)
    table = np.column_stack([probabilities, predictions, labelled, list(map(bool, labels))])
    cells, rows = np.unique(table.reshape(-1, 4), axis=0, return_counts=True)
    return ScoreCounts(
        cells[:, 0], cells[:, 1] > 0, cells[:, 2] > 0, cells[:, 3] > 0, rows.astype(np.int64)
    )


def group(
    columns: Mapping[str, Distribution] | None = None,
    of: ScoreCounts | None = None,
    records: int = 0,
) -> Group:
    """Make a group of columns; without score counts it has `records` unlabelled records."""
    return Group(columns or {}, of or scored([0.5] * records))


def many(seed: int, groups: int = 12) -> list[Group]:
    generator = np.random.default_rng(seed)

    def one() -> Group:
        rows = int(generator.integers(1, 300))
        return group(
            {
                "height": distribution(np.round(generator.normal(178, 9, rows), 3).tolist()),
                "weight": distribution(np.round(generator.lognormal(4, 1, rows), 3).tolist()),
                "name": distribution(["x" * n for n in generator.integers(1, 40, rows)], "text"),
                "teams": distribution(generator.integers(0, 90, rows).tolist(), "category"),
            },
            records=rows,
        )

    return [one() for _ in range(groups)]


def drift_row(these: list[Any], those: list[Any], kind: Kind = "number") -> dict[str, Any]:
    """Return the drift metrics of the only column of a window, compared with a baseline."""
    one, other = (
        group({"one": distribution(sample, kind)}, records=len(sample)) for sample in (these, those)
    )
    found = drift_metrics({(window(0), ALL): one}, {ALL: other})
    assert found.schema.equals(DRIFT_METRICS)
    assert found["column_name"].to_pylist() == [TABLE, "one"]
    row: dict[str, Any] = found.to_pylist()[1]
    return row
