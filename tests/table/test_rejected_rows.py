from typing import Any

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from support.raw_rows import raw_rows, usable
from support.table import TABLE

from marvel_kedro.table.cleaning import read_source, select_usable
from marvel_kedro.table.rejected_rows import select_rejected


def reasons(raw: pd.DataFrame) -> dict[str, str]:
    rows = select_rejected(read_source(raw, TABLE))
    return dict(zip(rows["page_id"].fillna("-"), rows["reason"], strict=True))


def test_unusable_rows_are_rejected_with_reason() -> None:
    raw = raw_rows(
        {"PageID": "good"},
        {"PageID": ""},
        {"PageID": "odd", "Alive": "alive?"},
        {"PageID": "twice", "Name": "b"},
        {"PageID": "twice", "Name": "a"},
    )
    assert reasons(raw) == {
        "-": "no page_id",
        "odd": "unknown alive",
        "twice": "repeated page_id",
    }
    assert usable(raw).set_index("page_id")["name"].to_dict() == {"good": "A", "twice": "a"}


def test_row_with_key_of_unusable_row_is_usable() -> None:
    raw = raw_rows({"PageID": "p", "Alive": "?", "Name": "a"}, {"PageID": "p", "Name": "b"})
    assert reasons(raw) == {"p": "unknown alive"}
    assert usable(raw)["name"].to_list() == ["b"]


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
def test_usable_and_rejected_rows_add_up_in_any_row_order(
    rows: list[dict[str, str]], random: Any
) -> None:
    raw = raw_rows(*rows)
    shuffled = raw.sample(frac=1, random_state=random.randrange(1000))
    source_rows = read_source(raw, TABLE)
    kept, rejected = select_usable(source_rows, TABLE), select_rejected(source_rows)
    assert len(kept) + len(rejected) == len(raw)
    assert kept["page_id"].is_unique
    assert_frame_equal(
        kept.sort_values("page_id", ignore_index=True),
        usable(shuffled).sort_values("page_id", ignore_index=True),
    )
