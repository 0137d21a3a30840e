from typing import Any

import pandas as pd
import polars as pl
import pytest
from pandas.testing import assert_frame_equal
from support.raw_rows import many_raw_rows, raw_rows
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.pipelines.processing import nodes
from marvel_kedro.table.cleaning import read_source, select_usable
from marvel_kedro.table.options import ProcessingOptions, SplitOptions
from marvel_kedro.table.rejected_rows import select_rejected

OPTIONS = ProcessingOptions()


def test_split_node_returns_record_of_split() -> None:
    options = ProcessingOptions(split=SplitOptions(by="group", test_share=0.3))
    characters = select_usable(read_source(many_raw_rows(50), TABLE), TABLE)
    _, _, split = nodes.split_records(characters, TABLE, options)
    assert split == options.split.model_dump() | {"column": "name"}


def test_file_without_usable_row_makes_no_table() -> None:
    rows = read_source(raw_rows({"Alive": "alive"}, {"PageID": ""}), TABLE)
    quality = nodes.summarise_quality(rows, TABLE, OPTIONS)
    with pytest.raises(ProjectError, match="'no page_id': 1, 'unknown alive': 1"):
        nodes.select_records(rows, quality, TABLE)


def test_lazy_polars_and_pandas_give_same_tables(real_sample_path: Any) -> None:
    """Nothing is collected between the nodes: lazy frames in, lazy frames out."""
    raw = pd.read_csv(real_sample_path, dtype="str", keep_default_na=False)
    raw.loc[raw.index[:5], "PageID"] = ["", "twice", "twice", "odd", "tall"]
    raw.loc[raw.index[3], "Alive"] = "?"
    raw.loc[raw.index[4], "Height (m)"] = "1,80"

    def tables(frame: Any) -> tuple[Any, ...]:
        rows = read_source(frame, TABLE)
        characters = select_usable(rows, TABLE)
        return (
            characters,
            select_rejected(rows),
            *nodes.split_records(characters, TABLE, OPTIONS)[:2],
        )

    lazy = pl.from_pandas(raw).lazy()
    for eager, frame in zip(tables(raw), tables(lazy), strict=True):
        assert isinstance(frame, pl.LazyFrame)
        collected = frame.collect().to_pandas().astype(eager.dtypes)
        assert_frame_equal(
            eager.sort_values(["page_id", "name"], ignore_index=True),
            collected.sort_values(["page_id", "name"], ignore_index=True),
        )
    summaries = [
        nodes.summarise_quality(read_source(each, TABLE), TABLE, OPTIONS) for each in (lazy, raw)
    ]
    assert summaries[0] == summaries[1]


def test_nodes_collect_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Collected rows leave the engine; on Spark that would be the whole table."""
    lazy = pl.from_pandas(many_raw_rows(50)).lazy()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a node collected")

    with monkeypatch.context() as patch:
        patch.setattr(pl.LazyFrame, "collect", refuse)
        rows = read_source(lazy, TABLE)
        characters = nodes.select_records(rows, {"rows_kept": 50}, TABLE)
        rejected = select_rejected(rows)
        train, test, _ = nodes.split_records(characters, TABLE, OPTIONS)
    assert len(rejected.collect()) == 0
    assert len(train.collect()) + len(test.collect()) == len(characters.collect()) == 50


def test_nodes_leave_their_inputs_unchanged() -> None:
    raw = many_raw_rows(50)
    before = raw.copy()
    rows = read_source(raw, TABLE)
    rows_before = rows.copy()
    nodes.split_records(select_usable(rows, TABLE), TABLE, OPTIONS)
    assert_frame_equal(raw, before)
    assert_frame_equal(rows, rows_before)
