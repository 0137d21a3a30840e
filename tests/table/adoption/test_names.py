import keyword

from hypothesis import given
from hypothesis import strategies as st
from support.project import ROOT
from support.table import FILE, needs_shipped_table

from marvel_kedro.core.options import validate
from marvel_kedro.table.adoption import writing
from marvel_kedro.table.adoption.names import column_names, table_name
from marvel_kedro.table.description import REMEDY, RESERVED, TableSpec

TEXTS = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=80)


@given(
    st.lists(TEXTS, min_size=2, max_size=8, unique=True), st.lists(TEXTS, min_size=2, unique=True)
)
def test_any_names_and_classes_make_a_description_that_is_read_back(
    sources: list[str], classes: list[str]
) -> None:
    names = column_names(sources)
    assert list(names) == sources
    assert len(set(names.values())) == len(sources)
    assert not set(names.values()) & RESERVED
    assert not any(keyword.iskeyword(name) for name in names.values())
    key, target = list(names.values())[:2]
    table = {
        "name": table_name(ROOT / f"{sources[0]}.csv"),
        "file": "rows.csv",
        "key": key,
        "target": {"column": target, "positive": classes[0], "negative": classes[1]},
        "columns": {name: {"source": source, "kind": "text"} for source, name in names.items()},
    }
    if "${" in "".join([*sources, *classes]):
        return  # refused with a message
    text = writing.to_text(table, {"key": f"# {sources[0]}: why"}, "Heading")
    assert text.startswith("# Heading\ntable:\n")
    validate(TableSpec, table, REMEDY)


@needs_shipped_table
def test_description_that_the_project_comes_with_may_be_replaced() -> None:
    shipped = ROOT / "conf" / "base" / "table.yml"
    assert shipped.read_text("utf-8") == FILE.read_text("utf-8"), "tests/table.yml is a copy"
    found = writing.digest(shipped)
    assert found == writing.SHIPPED, f'set SHIPPED in table/adoption/writing.py to "{found}"'
