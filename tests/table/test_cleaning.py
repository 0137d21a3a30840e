import zlib
from typing import Any

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.table import cleaning
from marvel_kedro.table.options import ProcessingOptions, QualityOptions, SplitOptions

OPTIONS = ProcessingOptions(
    quality=QualityOptions(expected={"gender": ["Male", "Female"], "identity": ["Public"]})
)
ROW = {
    "PageID": "A_(Earth-1)",
    "Name": "A",
    "Universe": "Earth-1",
    "Identity": "Public",
    "Gender": "Male",
    "Alive": "Alive",
    "Marital Status": "",
    "Teams": "",
    "Height (m)": "",
    "Weight (kg)": "",
    "Origin": "Human",
}


def source(*changes: dict[str, str]) -> pd.DataFrame:
    """A raw file whose rows are `ROW` with changes."""
    return pd.DataFrame([ROW | change for change in changes], dtype="str")


def rejected(raw: pd.DataFrame) -> dict[str, str]:
    rows = cleaning.select_rejected(cleaning.read_source(raw))
    return dict(zip(rows["page_id"].fillna("-"), rows["reason"], strict=True))


def kept(raw: pd.DataFrame) -> pd.DataFrame:
    return cleaning.select_usable(cleaning.read_source(raw))


def test_columns_are_renamed_and_in_order() -> None:
    table = kept(source({}))
    assert list(table.columns) == list(cleaning.RENAMED.values())
    assert table.loc[0, "name"] == "A"


def test_empty_and_blank_cells_are_null_and_text_is_stripped() -> None:
    table = kept(source({"Teams": "  ", "Origin": " Human mutate "}))
    assert table["teams"].isna().all()
    assert table.loc[0, "origin"] == "Human mutate"


def test_columns_nobody_needs_may_be_absent() -> None:
    assert kept(source({}))[["url", "creators"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("1.80", 1.8),
        ("18", 18.0),
        ("", None),
        ("-1", None),
        ("0", None),
        ("inf", None),
        ("nan", None),
        ("1,80", None),
        ("6 ft", None),
        ("1e3", None),
    ],
)
def test_a_measurement_is_a_plain_positive_number_or_null(cell: str, number: float | None) -> None:
    value = kept(source({"Height (m)": cell}))["height"].iloc[0]
    assert pd.isna(value) if number is None else value == number


def test_rows_that_cannot_be_used_are_rejected_with_a_reason() -> None:
    raw = source(
        {"PageID": "good"},
        {"PageID": ""},
        {"PageID": "odd", "Alive": "alive?"},
        {"PageID": "twice", "Name": "b"},
        {"PageID": "twice", "Name": "a"},
    )
    assert rejected(raw) == {
        "-": "no page_id",
        "odd": "unknown alive",
        "twice": "repeated page_id",
    }
    assert kept(raw).set_index("page_id")["name"].to_dict() == {"good": "A", "twice": "a"}


def test_a_repeat_of_an_unusable_row_is_not_a_repeat() -> None:
    raw = source({"PageID": "p", "Alive": "?", "Name": "a"}, {"PageID": "p", "Name": "b"})
    assert rejected(raw) == {"p": "unknown alive"}
    assert kept(raw)["name"].to_list() == ["b"]


cells = st.fixed_dictionaries(
    {
        "PageID": st.sampled_from(["", "a", "b", "c", " a"]),
        "Alive": st.sampled_from(["Alive", "Dead", "", "dead", "Unknown"]),
        "Name": st.sampled_from(["x", "y", ""]),
        "Identity": st.sampled_from(["x", "y", ""]),
        "Height (m)": st.sampled_from(["", "1.8", "-1"]),
    }
)


@given(st.lists(cells, min_size=1, max_size=12), st.randoms(use_true_random=False))
def test_in_and_out_add_up_and_order_does_not_matter(rows: list[dict[str, str]], dice: Any) -> None:
    raw = source(*rows)
    shuffled = raw.sample(frac=1, random_state=dice.randrange(1000))
    out = kept(raw), cleaning.select_rejected(cleaning.read_source(raw))
    assert len(out[0]) + len(out[1]) == len(raw)
    assert out[0]["page_id"].is_unique
    assert_frame_equal(
        out[0].sort_values("page_id", ignore_index=True),
        kept(shuffled).sort_values("page_id", ignore_index=True),
    )


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ProjectError, match=r"lacks the columns \['Alive'\]"):
        cleaning.read_source(source({}).drop(columns="Alive"))


def test_semicolons_for_commas_are_recognised() -> None:
    raw = pd.DataFrame({";".join(ROW): ["a;b"]})
    with pytest.raises(ProjectError, match="parted by semicolons"):
        cleaning.read_source(raw)


def many(rows: int) -> pd.DataFrame:
    return source(*({"PageID": f"Pagé_{i}", "Name": f"N{i % 50}"} for i in range(rows)))


def test_split_is_a_function_of_the_page_id_alone() -> None:
    characters = kept(many(2000))
    train, test, _ = cleaning.split_characters(characters, OPTIONS)
    sides = {page: zlib.crc32(page.encode()) % 10_000 < 2_000 for page in characters["page_id"]}
    assert set(test["page_id"]) == {page for page, is_test in sides.items() if is_test}
    assert set(train["page_id"]) == {page for page, is_test in sides.items() if not is_test}
    assert 0.17 < len(test) / len(characters) < 0.23


def test_split_by_name_keeps_variants_together() -> None:
    options = ProcessingOptions(split=SplitOptions(by="name", test_share=0.3))
    train, test, split = cleaning.split_characters(kept(many(500)), options)
    assert set(train["name"]).isdisjoint(test["name"])
    assert len(test)
    assert SplitOptions(**split) == options.split


def test_rows_without_a_name_are_dealt_by_their_page_id() -> None:
    raw = many(500).assign(Name="")
    options = ProcessingOptions(split=SplitOptions(by="name"))
    train, test, _ = cleaning.split_characters(kept(raw), options)
    assert 0.1 < len(test) / (len(train) + len(test)) < 0.3


def test_a_file_without_a_usable_row_is_refused() -> None:
    rows = cleaning.read_source(source({"Alive": "alive"}, {"PageID": ""}))
    quality = cleaning.summarise_quality(rows, OPTIONS)
    with pytest.raises(ProjectError, match="'no page_id': 1, 'unknown alive': 1"):
        cleaning.select_characters(rows, quality)


def test_quality_counts_what_is_odd() -> None:
    raw = source(
        {"PageID": "1", "Gender": "Agender", "Height (m)": "1,80"},
        {"PageID": "2", "Gender": "Agender", "Identity": "", "Height (m)": "2"},
        {"PageID": "3", "Alive": "?"},
        {"PageID": ""},
    )
    rows = cleaning.read_source(raw)
    summary = cleaning.summarise_quality(rows, OPTIONS)
    assert summary["rows_in"] == 4
    assert summary["rows_kept"] == 2
    assert summary["rejected"] == {"no page_id": 1, "unknown alive": 1}
    assert summary["nulls"]["identity"] == 1
    assert summary["unusable"] == {"height": 1, "weight": 0}
    assert summary["new_categories"] == {"gender": {"Agender": 2}, "identity": {}}
    assert cleaning.quality_metrics(summary) == {
        "rows_in": 4,
        "rows_kept": 2,
        "rows_rejected": 2,
        "new_gender_rows": 2,
        "new_identity_rows": 0,
    }


def test_new_categories_beyond_those_listed_are_counted() -> None:
    rows = pd.DataFrame({"gender": [f"new {number % 5}" for number in range(12)], "reason": None})
    for column in set(cleaning.RENAMED.values()) - {"gender"}:
        rows[column] = None
    rows = rows.astype("str").where(rows.notna(), None)
    quality = QualityOptions(expected={"gender": ["Male"]}, examples=2)
    summary = cleaning.summarise_quality(rows, ProcessingOptions(quality=quality))
    assert summary["new_categories"] == {"gender": {"new 0": 3, "new 1": 3}}
    assert cleaning.quality_metrics(summary)["new_gender_rows"] == 12


def test_lazy_polars_gives_the_tables_that_pandas_gives(real_sample_path: Any) -> None:
    """The nodes collect nothing in between: lazy frames in, lazy frames out."""
    raw = pd.read_csv(real_sample_path, dtype="str", keep_default_na=False)
    raw.loc[raw.index[:5], "PageID"] = ["", "twice", "twice", "odd", "tall"]
    raw.loc[raw.index[3], "Alive"] = "?"
    raw.loc[raw.index[4], "Height (m)"] = "1,80"

    def tables(frame: Any) -> tuple[Any, ...]:
        rows = cleaning.read_source(frame)
        characters = cleaning.select_usable(rows)
        return (
            characters,
            cleaning.select_rejected(rows),
            *cleaning.split_characters(characters, OPTIONS)[:2],
        )

    lazy = pl.from_pandas(raw).lazy()
    for ours, theirs in zip(tables(raw), tables(lazy), strict=True):
        assert isinstance(theirs, pl.LazyFrame)
        expected = theirs.collect().to_pandas().astype(ours.dtypes)
        assert_frame_equal(
            ours.sort_values(["page_id", "name"], ignore_index=True),
            expected.sort_values(["page_id", "name"], ignore_index=True),
        )
    lazy_rows = cleaning.read_source(lazy)
    rows = cleaning.read_source(raw)
    assert cleaning.summarise_quality(lazy_rows, OPTIONS) == cleaning.summarise_quality(
        rows, OPTIONS
    )


def test_the_tables_are_made_without_collecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is collected leaves the engine; on Spark that would be the whole table."""
    lazy = pl.from_pandas(many(50)).lazy()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a node collected")

    with monkeypatch.context() as patch:
        patch.setattr(pl.LazyFrame, "collect", refuse)
        rows = cleaning.read_source(lazy)
        characters = cleaning.select_characters(rows, {"rows_kept": 50})
        rejected = cleaning.select_rejected(rows)
        train, test, _ = cleaning.split_characters(characters, OPTIONS)
    assert len(rejected.collect()) == 0
    assert len(train.collect()) + len(test.collect()) == len(characters.collect()) == 50


def test_no_node_changes_its_input() -> None:
    raw = many(50)
    before = raw.copy()
    rows = cleaning.read_source(raw)
    rows_before = rows.copy()
    cleaning.split_characters(cleaning.select_usable(rows), OPTIONS)
    assert_frame_equal(raw, before)
    assert_frame_equal(rows, rows_before)
