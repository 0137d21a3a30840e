"""The rows of a retraining, on frames of two engines."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from support.labelled_log import typed
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model.options import (
    EvaluationOptions,
    FitOptions,
    GateOptions,
    RetrainingOptions,
    TrainingOptions,
)
from marvel_kedro.model.portable import fields
from marvel_kedro.model.retraining_rows import choose_share, select_newest, split_rows
from marvel_kedro.pipelines.processing.nodes import split_records
from marvel_kedro.table.cleaning import select_usable
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import to_pandas
from marvel_kedro.table.options import ProcessingOptions, SplitOptions

DAY = pd.Timestamp("2026-01-01", tz="UTC")
OPTIONS = RetrainingOptions()
NOW = (DAY + pd.Timedelta(days=20)).to_pydatetime()
ENGINES: list[Callable[[pd.DataFrame], Any]] = [lambda rows: rows, pl.from_pandas]


def pages_of(*rows: dict[str, Any]) -> pd.DataFrame:
    columns = list(TABLE.columns)
    numbers = ("height", "weight")
    return pd.DataFrame(list(rows), columns=columns).astype(
        {name: "float64" if name in numbers else "str" for name in columns}
    )


def log(*rows: dict[str, Any]) -> pd.DataFrame:
    defaults = {"request_time": DAY, "labelled_at": DAY, "alive": "Alive"}
    numbered = [
        defaults | {"databricks_request_id": f"r{number}", "record_number": 0} | row
        for number, row in enumerate(rows)
    ]
    return typed(pd.DataFrame(numbered))


def newest(
    records: pd.DataFrame,
    known: pd.DataFrame,
    options: RetrainingOptions = OPTIONS,
    engine: Callable[[pd.DataFrame], Any] = ENGINES[0],
    table: TableSpec = TABLE,
) -> pd.DataFrame:
    found = select_newest(
        engine(records), engine(known), table, options, ProcessingOptions(), NOW, 10_000
    )
    rows = found if isinstance(found, pd.DataFrame) else found.to_pandas()
    assert list(rows.columns) == list(TABLE.columns)
    return rows.sort_values("page_id").set_index("page_id")


@pytest.mark.parametrize("engine", ENGINES)
def test_newest_label_wins_and_missing_fields_come_from_known_page(engine: Any) -> None:
    known = pages_of(
        {"page_id": "a", "name": "A", "url": "u", "height": 1.5, "gender": "Male", "alive": "Dead"},
        {"page_id": "z", "name": "Z", "alive": "Dead"},
        {"page_id": "m", "gender": "Female", "origin": "Human", "teams": "T", "alive": "Dead"},
    )
    records = log(
        {"page_id": "a", "alive": "Dead", "labelled_at": DAY, "universe": "late", "weight": 9},
        {"page_id": "a", "labelled_at": DAY + pd.Timedelta(days=1), "height": 2.0, "gender": ""},
        {"page_id": "b", "name": "B", "height": -1.0, "weight": np.inf},
        {"page_id": "c", "alive": None},
        {"page_id": None},
        {"page_id": "m", "name": "NA", "gender": "NA", "origin": "NULL", "teams": "NA;X;\\N"},
        {"page_id": "NA", "name": "N"},
    )
    rows = newest(records, known, engine=engine)
    assert list(rows.index) == ["a", "b", "m"]
    markers = ["name", "gender", "origin", "teams"]
    assert list(rows.loc["m", markers]) == ["NA", "Female", "Human", "X"]
    assert list(rows.loc["a", ["name", "url", "gender", "alive", "height"]]) == [
        "A",
        "u",
        "Male",
        "Alive",
        2.0,
    ]
    assert rows.loc["a", ["universe", "weight"]].isna().all()
    assert list(rows.loc["b", ["name", "alive"]]) == ["B", "Alive"]
    assert rows.loc["b", ["url", "height", "weight"]].isna().all()


@pytest.mark.parametrize("engine", ENGINES)
def test_bounds_of_features_apply_to_processing_and_retraining(
    engine: Any,
) -> None:
    """Negative and large numbers are valid where another table sets other bounds."""
    bounds = {"above": -1000.0, "below": 10_000_000.0}
    measures = {name: TABLE.columns[name].model_copy(update=bounds) for name in TABLE.numbers}
    table = TABLE.model_copy(update={"columns": TABLE.columns | measures})
    limits = table.columns["height"].bounds
    assert fields.number("-60.14", *limits) == fields.number(-60.14, *limits) == -60.14
    assert fields.number("2500000", *limits) == fields.number(2_500_000, *limits) == 2_500_000
    rows = pages_of({"page_id": "a", "alive": "Dead"}, {"page_id": "b", "alive": "Dead"})
    source = rows.assign(reason=None, height=["-60.14", "2500000"], weight="-2000")
    read = to_pandas(select_usable(engine(source.astype("str")), table), "page_id", 10)
    assert list(read["height"]) == [-60.14, 2_500_000.0]
    assert read["weight"].isna().all()
    sent = log({"page_id": "a", "height": -5.0}, {"page_id": "b", "height": 0.0})
    found = newest(sent, rows.assign(height=[5.0, 5.0]), engine=engine, table=table)
    assert list(found["height"]) == [-5.0, 0.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_latest_request_wins_among_equal_label_times_in_any_row_order(engine: Any) -> None:
    records = log(
        {"page_id": "a", "request_time": DAY, "height": 1.0},
        {"page_id": "a", "request_time": DAY + pd.Timedelta(hours=2), "height": 3.0},
        {"page_id": "a", "request_time": DAY + pd.Timedelta(hours=1), "height": 2.0},
    )
    for seed in range(5):
        shuffled = records.sample(frac=1, random_state=seed).reset_index(drop=True)
        assert newest(shuffled, pages_of(), engine=engine)["height"].tolist() == [3.0]


@pytest.mark.parametrize("engine", ENGINES)
def test_days_limit_keeps_records_near_the_newest_labelled_one(engine: Any) -> None:
    records = log(
        *({"page_id": f"p{day}", "request_time": DAY + pd.Timedelta(days=day)} for day in range(5)),
        {"page_id": "q", "request_time": DAY + pd.Timedelta(days=9), "alive": None},
    )
    rows = newest(records, pages_of(), RetrainingOptions(days=2), engine)
    assert list(rows.index) == ["p2", "p3", "p4"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("days", [None, 2])
def test_records_later_than_now_are_excluded(engine: Any, days: float | None) -> None:
    records = log(
        *({"page_id": f"p{day}", "request_time": DAY + pd.Timedelta(days=day)} for day in range(3)),
        {"page_id": "p0", "request_time": DAY + pd.Timedelta(days=400), "alive": "Dead"},
        {"page_id": "q", "request_time": DAY + pd.Timedelta(days=20, seconds=1)},
    )
    rows = newest(records, pages_of(), RetrainingOptions(days=days), engine)
    assert list(rows.index) == ["p0", "p1", "p2"]
    assert set(rows["alive"]) == {"Alive"}


@pytest.mark.parametrize("engine", ENGINES)
def test_error_names_missing_labels(engine: Any) -> None:
    with pytest.raises(ProjectError, match="no labelled record"):
        newest(log({"page_id": "a", "alive": None}), pages_of(), engine=engine)


def pages(prefix: str, number: int, alive: str) -> pd.DataFrame:
    return pages_of(*({"page_id": f"{prefix}{n}", "alive": alive} for n in range(number)))


def split(share: float, test_on: Any = "newest", engine: Any = ENGINES[0]) -> Any:
    new, past = (
        pages("p", 1000, "Alive"),
        pages("p", 9000, "Dead"),
    )  # 1,000 pages are in both
    train, test, recorded = split_rows(
        engine(new),
        engine(past),
        TABLE,
        share,
        RetrainingOptions(test_on=test_on),
        ProcessingOptions(),
    )
    frames = [
        each if isinstance(each, pd.DataFrame) else each.to_pandas() for each in (train, test)
    ]
    assert recorded == {"by": "key", "test_share": 0.2, "column": "page_id"}
    return frames


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("test_on", ["newest", "all"])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_split_keeps_sides_apart_and_new_labels_replace_old_ones(
    engine: Any, test_on: str, share: float
) -> None:
    train, test = split(share, test_on, engine)
    past_train, past_test, _ = split_records(pages("p", 9000, "Dead"), TABLE, ProcessingOptions())
    assert set(train["page_id"]) <= set(past_train["page_id"])
    assert set(test["page_id"]) <= set(past_test["page_id"])
    both = pd.concat([train, test])
    assert both["page_id"].is_unique
    new = both["page_id"].str[1:].astype(int) < 1000
    assert (both["alive"] == np.where(new, "Alive", "Dead")).all()
    assert new.sum() == 1000
    assert (test["alive"] == "Alive").all() == (test_on == "newest")
    if share:
        measured = (train["alive"] == "Alive").mean()
        assert measured == pytest.approx(share, abs=0.03)


def test_thinning_keeps_test_share_of_the_past() -> None:
    # Split and thinning hash the same text; the salt makes them independent.
    train, test = split(0.5, "all")
    past = [(table["alive"] == "Dead").sum() for table in (train, test)]
    assert past[1] / sum(past) == pytest.approx(0.2, abs=0.04)  # three standard deviations


def test_short_past_is_kept_whole() -> None:
    new, past = pages("n", 100, "Alive"), pages("p", 50, "Dead")
    train, test, _ = split_rows(
        new,
        past,
        TABLE,
        0.5,
        RetrainingOptions(test_on="all"),
        ProcessingOptions(split=SplitOptions()),
    )
    assert len(train) + len(test) == 150


def chosen(newest: pd.DataFrame, past: pd.DataFrame, *shares: float, min_rows: int = 100) -> float:
    train = TrainingOptions(
        trained_at=DAY.to_pydatetime(),
        origin={},
        fit=FitOptions(max_trees=60, folds=3, min_rows=min_rows),
        evaluation=EvaluationOptions(),
        gate=GateOptions(),
    )
    options = RetrainingOptions(newest_shares=shares or (0.0, 0.5, 0.9))
    return choose_share(newest, past, TABLE, options, ProcessingOptions(), train)


def relabelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with new labels that depend on the universe, with 10 % noise."""
    family = rows["universe"] == "Earth-616"
    generator = np.random.default_rng(0)
    return rows.assign(
        alive=np.where(family ^ (generator.random(len(rows)) < 0.1), "Alive", "Dead")
    )


def test_chosen_share_is_high_only_if_old_labels_contradict_new_ones(
    characters: pd.DataFrame,
) -> None:
    newest, past = characters.iloc[:400], characters.iloc[400:]
    before = past.assign(alive=relabelled(past)["alive"].map({"Alive": "Dead", "Dead": "Alive"}))
    now = newest.assign(alive=relabelled(newest)["alive"])
    assert chosen(now, before) == 0.9
    assert chosen(now, relabelled(past)) < 0.9
    # Labels of the test side have no influence.
    test = split_records(now, TABLE, ProcessingOptions())[1]["page_id"]
    other = now.assign(alive=now["alive"].where(~now["page_id"].isin(test), "Dead"))
    assert chosen(other, before) == 0.9


def test_share_that_leaves_too_few_rows_is_not_chosen(
    characters: pd.DataFrame,
) -> None:
    newest, past = characters.iloc[:100], characters.iloc[100:]
    assert chosen(newest, past, 0.9, 0.0, min_rows=300) == 0.0
    assert chosen(newest, past, 0.9, 0.5, min_rows=100_000) == 0.9  # the later fit raises the error
    assert chosen(newest, past, 0.7) == 0.7
