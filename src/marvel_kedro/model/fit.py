"""Fit a model to the training rows."""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
import numpy.typing as npt
import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.metrics import Flags, Floats
from marvel_kedro.model.options import FitOptions
from marvel_kedro.model.portable.features import (
    UNIVERSE_RATE,
    Encoder,
    columns_without_feature,
    encode,
    feature_names,
    origin_words,
    team_names,
    text,
)
from marvel_kedro.model.portable.predictor import CharacterModel, read_code
from marvel_kedro.model.threshold import choose_threshold
from marvel_kedro.table.description import TableSpec

if TYPE_CHECKING:
    import lightgbm

_FEW_ROWS = 20_000

Progress = Callable[[str], Callable[[int, int], None]]
"""Takes a description of the work; returns a function of the number done and the total."""


def fit(
    train: pd.DataFrame, table: TableSpec, options: FitOptions, progress: Progress | None = None
) -> CharacterModel:
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
        ProjectError: There are too few rows, all are of one class, or a column has no feature.
    """
    _check(train, table, options)
    # Sums of floats and LightGBM's bagging depend on the order of rows; the model must not.
    rows = train.sort_values(table.key, ignore_index=True)
    alive = (rows[table.target.column] == table.target.positive).to_numpy()
    bucket = _bucket(rows[table.group_column])
    encoder = learn_encoder(rows, alive, options)
    if missing := columns_without_feature(encoder):
        raise ProjectError(
            f"The model would take {', '.join(missing)} and not use it: give each of TEXT_COLUMNS "
            "in src/marvel_kedro/model/portable/features.py names and a function in "
            "`text_features`, or add it to UNUSED_COLUMNS."
        )
    features = encode(rows, encoder)
    # The rate of a row's universe must not contain the row's own label.
    rate = feature_names(encoder).index(UNIVERSE_RATE)
    features[:, rate] = _rates_out_of_fold(rows["universe"], alive, bucket % options.folds, options)
    booster = _train(features, alive, bucket % 4 == 0, options, progress)
    probability = np.empty(0)
    if not isinstance(options.threshold, float):
        probability = _out_of_fold(features, alive, bucket % 4, booster.num_trees(), options)
    threshold = choose_threshold(alive, probability, options.threshold)
    return CharacterModel(booster.model_to_string(), encoder, threshold, read_code())


def learn_encoder(rows: pd.DataFrame, alive: Flags, options: FitOptions) -> Encoder:
    """Learn the vocabularies and the share of Alive by universe."""
    return Encoder(
        alive_share=float(alive.mean()),
        universes=_universes(rows["universe"].map(cache(text)), alive, options),
        origin_words=_frequent(rows["origin"], origin_words, options.origin_words, options),
        teams=_frequent(rows["teams"], team_names, options.teams, options),
    )


def _check(train: pd.DataFrame, table: TableSpec, options: FitOptions) -> None:
    target = table.target
    classes = sorted(train[target.column].unique())
    if len(train) < options.min_rows:
        raise ProjectError(
            f"train_set has {len(train)} rows; training.fit.min_rows requires "
            f"{options.min_rows}. Bring more rows in data/01_raw, or lower it."
        )
    if classes != sorted(target.classes):
        source = table.columns[target.column].source or target.column
        raise ProjectError(
            f"train_set has only the class {classes}; a model requires "
            f"{' and '.join(target.classes)}. Look at the column {source} of the raw file."
        )


def _universes(
    universe: "pd.Series[Any]", alive: Flags, options: FitOptions
) -> dict[str, tuple[float, float]]:
    """Compute by universe its rows and its share of Alive, smoothed towards that of all rows."""
    groups = pd.DataFrame({"key": universe, "alive": alive}).groupby("key")["alive"]
    rows, hits, smoothing = groups.count(), groups.sum(), options.universe_smoothing
    rates = (hits + smoothing * alive.mean()) / (rows + smoothing)
    return dict(zip(rows.index, zip(rows.astype(float), rates, strict=True), strict=True))


def _rates_out_of_fold(
    values: "pd.Series[Any]", alive: Flags, fold: npt.NDArray[np.int64], options: FitOptions
) -> npt.NDArray[np.float32]:
    """Compute the rate of each row's universe from the rows of the other folds.

    Rows of a group share a fold, because their labels depend on each other.
    """
    rates = np.empty(len(values), dtype=np.float32)
    universe = values.map(cache(text))
    for number in range(options.folds):
        inside = fold == number
        if inside.all() or not inside.any():
            rates[inside] = alive.mean()
            continue
        learnt = _universes(universe[~inside], alive[~inside], options)
        known = {name: rate for name, (_, rate) in learnt.items()}
        rates[inside] = universe[inside].map(known).fillna(float(alive[~inside].mean()))
    return rates


def _bucket(groups: "pd.Series[Any]") -> npt.NDArray[np.int64]:
    return np.array([crc32(text(group).encode()) for group in groups], dtype=np.int64)


def _frequent(
    values: "pd.Series[Any]", split: Callable[[str], Iterable[str]], limit: int, options: FitOptions
) -> tuple[str, ...]:
    """Return the most frequent parts of a text column, ties in alphabetical order."""
    counts: Counter[str] = Counter()
    for value, rows in values.value_counts().items():
        for part in set(split(text(value))):
            counts[part] += rows
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return tuple(part for part, rows in ranked[:limit] if rows >= options.min_word_rows)


def _train(
    features: npt.NDArray[np.float32],
    alive: Flags,
    held_out: Flags,
    options: FitOptions,
    progress: Progress | None,
) -> "lightgbm.Booster":
    """Train as many trees as have the least log loss on the held-out rows in a trial."""
    import lightgbm  # noqa: PLC0415 - takes seconds

    parameters, trees = _parameters(options, len(alive)), options.min_trees
    if held_out.any() and len(set(alive[~held_out])) > 1:
        rest = lightgbm.Dataset(features[~held_out], alive[~held_out])
        trial = lightgbm.train(
            parameters,
            rest,
            options.max_trees,
            valid_sets=[lightgbm.Dataset(features[held_out], alive[held_out], reference=rest)],
            callbacks=[
                lightgbm.early_stopping(options.patience, verbose=False),
                *_callbacks(progress, "trees of the trial, which stops early"),
            ],
        )
        trees = max(trial.best_iteration, trees)
    # Numbered names, because LightGBM's text format rejects JSON characters.
    names = [f"f{number}" for number in range(features.shape[1])]
    dataset = lightgbm.Dataset(features, alive, feature_name=names)
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
        booster = lightgbm.train(_parameters(options, len(positive)), rest, trees)
        probability[inside] = booster.predict(features[inside])
    return probability


def _parameters(options: FitOptions, rows: int) -> dict[str, Any]:
    return {
        "objective": "binary",
        "learning_rate": options.learning_rate,
        "num_leaves": options.leaves,
        "min_data_in_leaf": options.min_rows_in_leaf,
        "lambda_l2": options.l2,
        "feature_fraction": options.feature_share,
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
