import zlib

from support.raw_rows import many_raw_rows, usable
from support.table import TABLE

from marvel_kedro.table.options import SplitOptions
from marvel_kedro.table.split import split_table


def test_split_depends_only_on_crc32_of_page_id() -> None:
    table = usable(many_raw_rows(2000))
    train, test = split_table(table, TABLE, SplitOptions())
    sides = {page: zlib.crc32(page.encode()) % 10_000 < 2_000 for page in table["page_id"]}
    assert set(test["page_id"]) == {page for page, is_test in sides.items() if is_test}
    assert set(train["page_id"]) == {page for page, is_test in sides.items() if not is_test}
    assert 0.17 < len(test) / len(table) < 0.23


def test_split_by_name_keeps_variants_on_one_side() -> None:
    options = SplitOptions(by="group", test_share=0.3)
    train, test = split_table(usable(many_raw_rows(500)), TABLE, options)
    assert set(train["name"]).isdisjoint(test["name"])
    assert len(test)


def test_split_by_name_uses_page_id_of_rows_without_name() -> None:
    raw = many_raw_rows(500).assign(Name="")
    train, test = split_table(usable(raw), TABLE, SplitOptions(by="group"))
    assert 0.1 < len(test) / (len(train) + len(test)) < 0.3
