"""Fit a model to the training rows."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import own_features
from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.fields import items, text, words
from marvel_kedro.model.portable.kinds import ColumnEncoder, Encoder
from marvel_kedro.model.portable.predictor import TabularModel, read_code
from marvel_kedro.model.threshold import choose_threshold
from marvel_kedro.table.description import REMEDY, Column, TableSpec

if TYPE_CHECKING:
    import lightgbm

logger = logging.getLogger(__name__)

_FEW_ROWS = 20_000
_FEW_VALUES = 8
_FEW_COVER = 0.9  # of the filled rows, by the values that are not rare
_LEAST_FEATURES = 8
"""Features for each tree at least: a share of three features would be one."""

Progress = Callable[[str], Callable[[int, int], None]]
"""Takes a description of the work; returns a function of the number done and the total."""


def fit(
    train: pd.DataFrame, table: TableSpec, options: FitOptions, progress: Progress | None = None
) -> TabularModel:
    """Fit a model.

    Args:
        train: The training rows: key, target, group and the input columns of the model.
        table: The description of the table.
        options: The hyperparameters.
        progress: Receives the number of trees, first of the trial, then of the model.

    Returns:
        The model. It depends only on the rows and the options: neither on the order of the rows
        nor on the number of threads.

    Raises:
        ProjectError: There are too few rows, all are of one class, no column has a feature, or the
            module of further features cannot be used.
    """
    _check(train, table, options)
    # Sums of floats and LightGBM's bagging depend on the order of rows; the model must not.
    rows = train.sort_values(table.key, ignore_index=True)
    positive = (rows[table.target.column] == table.target.positive).to_numpy()
    bucket = _buckets(rows, positive, table)
    encoder = learn_encoder(rows, positive, table, options)
    code = read_code() | own_features.read(table)
    model = TabularModel("", encoder, table.target.classes, 0.5, code, describe(rows, table))
    features = own_features.encode(model, rows, table)
    for name, feature in model.features.rates.items():
        # The rate of a row's category must not contain the row's own label.
        fold = bucket % options.folds
        features[:, feature] = _rates_out_of_fold(rows[name], positive, fold, options)
    booster = _train(features, positive, bucket % 4 == 0, options, progress)
    probability = np.empty(0)
    if not isinstance(options.threshold, float):
        probability = _out_of_fold(features, positive, bucket % 4, booster.num_trees(), options)
    threshold = choose_threshold(positive, probability, options.threshold)
    return replace(model, booster_text=booster.model_to_string(), threshold=threshold)


def learn_encoder(
    rows: pd.DataFrame, positive: Flags, table: TableSpec, options: FitOptions
) -> Encoder:
    """Learn the frequent parts of each column and the rates of its values."""
    columns = {
        name: _learn_column(rows[name], column, positive, options)
        for name, column in table.inputs.items()
        if column.feature
    }
    return Encoder(positive_share=float(positive.mean()), columns=columns)


def _learn_column(
    values: "pd.Series[Any]", column: Column, positive: Flags, options: FitOptions
) -> ColumnEncoder:
    texts = values.map(cache(text)) if not column.is_number else values
    parts: tuple[str, ...] = ()
    rates = {}
    if column.kind == "text":
        parts = _frequent(texts, words, options)
    elif column.kind == "set":
        parts = _frequent(texts, lambda value: items(value, column.separator), options)
    elif column.kind == "category":
        parts = _few_values(texts, options)
    if column.kind in {"category", "id"} and not parts:
        rates = _rates(texts, positive, options)
    described = (column.kind, column.above, column.below, column.separator, column.format)
    return ColumnEncoder(*described, parts, rates)


def _few_values(texts: "pd.Series[Any]", options: FitOptions) -> tuple[str, ...]:
    """Return the values of a category by frequency, or none if it has many."""
    filled = texts[texts != ""]
    parts = _frequent(filled, lambda value: [value], options)
    few = len(parts) <= _FEW_VALUES and filled.isin(parts).mean() >= _FEW_COVER
    return parts if few else ()


def _check(train: pd.DataFrame, table: TableSpec, options: FitOptions) -> None:
    target = table.target
    classes = sorted(train[target.column].unique())
    if len(train) < options.min_rows:
        raise ProjectError(
            f"train_set has {len(train)} rows; training.fit.min_rows requires "
            f"{options.min_rows}. Bring more rows in data/01_raw, or lower it."
        )
    if classes != sorted(target.classes):
        raise ProjectError(
            f"train_set has only the class {classes}; a model requires "
            f"{' and '.join(target.classes)}. Look at the column {table.source(target.column)} "
            "of the raw file."
        )
    if not any(column.feature for column in table.inputs.values()):
        raise ProjectError(
            "No column of the table has a feature: remove `feature: false` from one. " + REMEDY
        )


def describe(rows: pd.DataFrame, table: TableSpec) -> dict[str, Any]:
    """Return the description that a model carries: the table, and a record made of many rows."""
    return {
        "table": table.model_dump(mode="json", exclude_defaults=True),
        "example": {
            name: _typical(rows[name], column.is_number)
            for name, column in table.inputs.items()
            if rows[name].notna().any()
        },
    }


def _typical(values: "pd.Series[Any]", is_number: bool) -> float | str:
    """Return the median of numbers or the most frequent text, but no text of a single row."""
    if is_number:
        return float(f"{values.median():.6g}")
    counts = values.value_counts()
    typical = min(counts.index[counts == counts.max()])
    return str(typical) if counts.max() > 1 else "example"


def _rates(
    values: "pd.Series[Any]", positive: Flags, options: FitOptions
) -> dict[str, tuple[float, float]]:
    """Compute by value its rows and its share of positives, smoothed towards that of all rows."""
    groups = pd.DataFrame({"key": values, "positive": positive}).groupby("key")["positive"]
    rows, hits, smoothing = groups.count(), groups.sum(), options.rate_smoothing
    rates = (hits + smoothing * positive.mean()) / (rows + smoothing)
    return dict(zip(rows.index, zip(rows.astype(float), rates, strict=True), strict=True))


def _rates_out_of_fold(
    values: "pd.Series[Any]", positive: Flags, fold: npt.NDArray[np.int64], options: FitOptions
) -> npt.NDArray[np.float32]:
    """Compute the rate of each row's value from the rows of the other folds.

    Rows of a group share a fold, because their labels depend on each other.
    """
    rates = np.empty(len(values), dtype=np.float32)
    texts = values.map(cache(text))
    for number in range(options.folds):
        inside = fold == number
        if inside.all() or not inside.any():
            rates[inside] = positive.mean()
            continue
        learnt = _rates(texts[~inside], positive[~inside], options)
        known = {name: rate for name, (_, rate) in learnt.items()}
        rates[inside] = texts[inside].map(known).fillna(float(positive[~inside].mean()))
    return rates


def _buckets(rows: pd.DataFrame, positive: Flags, table: TableSpec) -> npt.NDArray[np.int64]:
    """Hash the group of each row, or its key where too few groups make folds of both classes."""
    bucket = _hashes(rows[table.group_column])
    sides = [positive[side] for side in (bucket % 4 == 0, bucket % 4 != 0)]
    if all(len(np.unique(side)) > 1 for side in sides):
        return bucket
    if table.group:
        logger.warning(
            "          %s has too few values for folds with both classes: rows of one %s share a "
            "fold no longer, so the number of trees may come out too high",
            table.group,
            table.group,
        )
    return _hashes(rows[table.key])


def _hashes(groups: "pd.Series[Any]") -> npt.NDArray[np.int64]:
    return np.array([crc32(text(group).encode()) for group in groups], dtype=np.int64)


def _frequent(
    texts: "pd.Series[Any]", split: Callable[[str], Iterable[str]], options: FitOptions
) -> tuple[str, ...]:
    """Return the most frequent parts of a text column, ties in alphabetical order."""
    counts: Counter[str] = Counter()
    for value, rows in texts.astype(object).value_counts().items():
        for part in set(split(str(value))):
            counts[part] += rows
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        part for part, rows in ranked[: options.max_parts] if rows >= options.min_part_rows
    )


def _train(
    features: npt.NDArray[np.float32],
    positive: Flags,
    held_out: Flags,
    options: FitOptions,
    progress: Progress | None,
) -> "lightgbm.Booster":
    """Train as many trees as have the least log loss on the held-out rows in a trial."""
    import lightgbm  # noqa: PLC0415 - takes seconds

    parameters, trees = _parameters(options, features.shape), options.min_trees
    if all(len(set(positive[side])) > 1 for side in (held_out, ~held_out)):
        rest = lightgbm.Dataset(features[~held_out], positive[~held_out])
        trial = lightgbm.train(
            parameters,
            rest,
            options.max_trees,
            valid_sets=[lightgbm.Dataset(features[held_out], positive[held_out], reference=rest)],
            callbacks=[
                lightgbm.early_stopping(options.patience, verbose=False),
                *_callbacks(progress, "trees of the trial, which stops early"),
            ],
        )
        trees = max(trial.best_iteration, trees)
    # Numbered names, because LightGBM's text format rejects JSON characters.
    names = [f"f{number}" for number in range(features.shape[1])]
    dataset = lightgbm.Dataset(features, positive, feature_name=names)
    return lightgbm.train(parameters, dataset, trees, callbacks=_callbacks(progress, "trees"))


def _out_of_fold(
    features: npt.NDArray[np.float32],
    positive: Flags,
    fold: npt.NDArray[np.int64],
    trees: int,
    options: FitOptions,
) -> Floats:
    """Compute the probability of each row by a model of the other folds."""
    import lightgbm  # noqa: PLC0415 - takes seconds

    probability = np.empty(len(positive))
    for number in np.unique(fold):
        inside = fold == number
        rest = lightgbm.Dataset(features[~inside], positive[~inside])
        booster = lightgbm.train(_parameters(options, features.shape), rest, trees)
        probability[inside] = booster.predict(features[inside])
    return probability


def _parameters(options: FitOptions, shape: tuple[int, ...]) -> dict[str, Any]:
    rows, features = shape
    share = max(options.feature_share, min(1.0, _LEAST_FEATURES / features))
    return {
        "objective": "binary",
        "learning_rate": options.learning_rate,
        "num_leaves": options.leaves,
        "min_data_in_leaf": options.min_rows_in_leaf,
        "lambda_l2": options.l2,
        "feature_fraction": share,
        "bagging_fraction": options.row_share,
        "bagging_freq": 1,
        "seed": options.seed,
        "deterministic": True,
        "force_row_wise": True,
        # On few rows threads gain nothing, and wait for each other on a busy machine.
        "num_threads": 1 if rows < _FEW_ROWS else 0,
        "verbose": -1,
    }


def _callbacks(
    progress: Progress | None, work: str
) -> "list[Callable[[lightgbm.callback.CallbackEnv], None]]":
    if progress is None:
        return []
    log = progress(work)
    return [lambda state: log(state.iteration + 1, state.end_iteration)]
