"""The table description: what it refuses, and that processing knows no other table."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pandas as pd
import polars as pl
import pytest
from support.table import TABLE

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import validate
from marvel_kedro.pipelines.processing import nodes
from marvel_kedro.table import contracts
from marvel_kedro.table.cleaning import read_source
from marvel_kedro.table.description import REMEDY, TableSpec
from marvel_kedro.table.frames import to_pandas
from marvel_kedro.table.options import ProcessingOptions, SplitOptions
from marvel_kedro.table.rejected_rows import select_rejected
from marvel_kedro.table.split import record, split_table

CHURN: dict[str, Any] = {
    "name": "churn",
    "file": "customers.csv",
    "row": {"one": "customer", "many": "customers"},
    "key": "customer",
    "target": {"column": "left", "positive": "Yes", "negative": "No", "words": {"1": "Yes"}},
    "group": "household",
    "columns": {
        "customer": {"source": "Customer No.", "kind": "id"},
        "household": {"kind": "id", "feature": False},
        "balance": {"kind": "number", "unit": "EUR", "below": 1e9},
        "tags": {"kind": "set", "separator": "|"},
        "left": {"source": "Left?", "kind": "category"},
    },
}


def described(**changes: Any) -> TableSpec:
    """The description of customers, with changed keys given as paths such as `target.column`."""
    description = deepcopy(CHURN)
    for path, value in changes.items():
        *parents, last = path.split(".")
        section = description
        for parent in parents:
            section = section[parent]
        section[last] = value
    return validate(TableSpec, description, REMEDY)


@pytest.mark.parametrize(
    ("changes", "question"),
    [
        ({}, "Is left Yes or No?"),
        ({"target.negative": None}, "Is left Yes?"),
        ({"question": "Does the customer leave?"}, "Does the customer leave?"),
    ],
)
def test_question_is_made_of_the_target(changes: dict[str, Any], question: str) -> None:
    assert described(**changes).question == question


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": "nr"}, "key is nr, which columns lacks; it has customer, household"),
        ({"group": "town"}, "group is town"),
        ({"key": "left"}, "key and target.column are both left"),
        ({"name": "My churn"}, "name: must be lower-case letters"),
        ({"columns.class": {"kind": "text"}}, "must be lower-case letters"),
        ({"columns.prediction": {"kind": "text"}}, "prediction, which the project adds"),
        ({"columns.other": {"source": "balance", "kind": "text"}}, "source balance"),
        ({"columns.left.required": False}, "cannot be `required: false`"),
        ({"columns.balance.kind": "money"}, "columns.balance.kind"),
        ({"columns.balance.above": 1e10}, "above must be less than below"),
        ({"columns.household.unit": "m"}, "unit is for the kind number, not for id"),
        ({"columns.tags.separator": "$"}, "columns.tags.separator"),
        ({"target.negative": "Yes"}, "positive and negative are both 'Yes'"),
        ({"target.words": {"2": "Maybe"}}, "words lead to ['Maybe']"),
        ({"columns.customer.kind": "number"}, "key is customer, of the kind number"),
        ({"columns.left.kind": "set"}, "target.column is left, of the kind set"),
        ({"columns.household.kind": "number"}, "group is household, of the kind number"),
        ({"target.positive": True}, "YAML reads Yes, No, On and Off as true and false"),
        ({"target.words": {False: "No"}}, "put them in quotes"),
        ({"target": {"column": "left"}}, "target.positive: Field required"),
        ({"question": ""}, "question: String should have at least 1 character"),
        ({"slice": "left"}, "slice: Extra inputs are not permitted"),
        ({"slices": ["town"]}, "slices has 'town', and columns has no town: write a column, or"),
        ({"slices": ["tags = x"]}, "columns has no tags = x: write a column, or column = 'value'"),
        (
            {"slices": ["balance"]},
            "slices has 'balance': balance is the key, the target or a number",
        ),
        ({"slices": ["left = 'Yes'"]}, "left is the key, the target or a number"),
    ],
)
def test_wrong_description_is_refused_with_key_and_remedy(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ProjectError) as caught:
        described(**changes)
    assert words in str(caught.value)
    assert "table.yml" in str(caught.value)


def test_description_is_equal_after_json() -> None:
    for spec in (TABLE, described()):
        assert TableSpec.model_validate_json(spec.model_dump_json()) == spec


ROWS = pd.DataFrame(
    {
        "Customer No.": ["007", "8", "9", "9", "", "11", "12"],
        "household": ["a", "a", "b", "b", "c", "c", None],
        "balance": ["-5.5", "0", "1 e3", "7", "1", "2", "3000000000"],
        "tags": ["x|NA|y", "NA", "x; y", "", "", "", ""],
        "Left?": ["Yes", "1", "No", "No", "Yes", "maybe", "No"],
        "unknown": list("abcdefg"),
    }
)


@pytest.mark.parametrize("engine", [lambda rows: rows, pl.from_pandas])
def test_another_table_is_processed_by_its_description(engine: Callable[..., Any]) -> None:
    table, options = described(), ProcessingOptions(split=SplitOptions(by="group", test_share=0.5))
    rows = read_source(engine(ROWS), table, options)
    summary = nodes.summarise_quality(rows, table, options)
    assert summary["rejected"] == {"no customer": 1, "repeated customer": 1, "unknown left": 1}
    assert summary["missing_markers"] == {"tags": 2}
    assert summary["unusable"] == {"balance": 2}  # 1 e3 is no number, 3000000000 too large
    records = nodes.select_records(rows, summary, table, options)
    found = to_pandas(records, table.key).set_index("customer")
    assert found["left"].to_dict() == {"007": "Yes", "12": "No", "8": "Yes", "9": "No"}
    assert found["tags"].fillna("-").to_list() == ["x|y", "-", "-", "x; y"]
    assert found["balance"].to_list()[:3:2] == [-5.5, 0.0]
    train, test, _ = nodes.split_records(records, table, options)
    sides = [set(to_pandas(side, table.key)["household"].dropna()) for side in (train, test)]
    assert not sides[0] & sides[1]
    contracts.schema("Records", table).validate(to_pandas(records, table.key))
    contracts.schema("SourceRows", table).validate(to_pandas(select_rejected(rows), table.key))


def test_every_other_value_is_the_negative_class_where_none_is_named() -> None:
    table = described(**{"target.negative": None, "target.words": {"1": "Yes", "NULL": "none"}})
    raw = pd.concat([ROWS, ROWS[:2].assign(**{"Customer No.": ["20", "21"]})])
    raw["Left?"] = [*ROWS["Left?"], "NA", "NULL"]
    rows = read_source(raw, table)
    records = nodes.select_records(rows, {"rows_kept": 6}, table)
    found = contracts.schema("Records", table).validate(records).set_index("customer")["left"]
    assert found["11"] == found["21"] == "not Yes"  # NULL is one of the words
    assert "20" not in found, "a missing marker is no class"
    assert set(found) == {"Yes", "not Yes"}


def test_class_may_be_written_as_a_missing_marker_or_a_number() -> None:
    table = described(**{"target.positive": 1, "target.negative": "NA", "target.words": {}})
    raw = ROWS.assign(**{"Left?": ["1", "NA", "1", "1", "1", "2", "NA"]})
    found = nodes.select_records(read_source(raw, table), {"rows_kept": 4}, table)
    assert dict(zip(found["customer"], found["left"], strict=True)) == {
        "007": "1",
        "8": "NA",
        "12": "NA",
        "9": "1",
    }
    summary = nodes.summarise_quality(read_source(raw, table), table, ProcessingOptions())
    assert summary["nulls"]["left"] == 0


def test_split_is_recorded_with_its_column_for_champions_of_an_earlier_description() -> None:
    table = described()
    recorded = record(table, SplitOptions(by="group"))
    assert recorded.column == "household"
    other = described(group="tags")
    rows = pd.DataFrame({"customer": list("abcd"), "household": list("xyzz"), "tags": list("ttuv")})
    first, second = (split_table(rows, each, recorded)[0] for each in (table, other))
    pd.testing.assert_frame_equal(first, second)


def test_file_of_another_table_is_refused_with_the_columns_of_this_one() -> None:
    with pytest.raises(ProjectError, match=r"lacks the columns \['Left\?'\] of the table churn"):
        read_source(ROWS.drop(columns="Left?"), described())
