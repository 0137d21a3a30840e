"""Slices, titles and sentences of an evaluation, for any table."""

import pandas as pd
import pytest
from support.churn import CHURN, customers
from support.table import TABLE

from marvel_kedro.model.evaluation import evaluate, one_class, slices, titles
from marvel_kedro.model.options import EvaluationOptions
from marvel_kedro.table import contracts
from marvel_kedro.table.description import TableSpec


def test_slices_of_marvel_keep_their_values(characters: pd.DataFrame) -> None:
    found = slices(characters, TABLE)
    assert {name: set(found[name]) for name in found} == {
        "identity": {"Public", "Secret", "Unknown"},
        "gender": {"Male", "Female", "Other", "Unknown"},
        "universe_earth_616": {"yes", "no"},
    }
    assert (found["gender"] == "Unknown").sum() == characters["gender"].isna().sum()


def test_slices_are_by_default_the_first_categories_and_booleans() -> None:
    found = slices(customers(), CHURN)
    assert list(found) == ["plan", "city", "paperless"]
    assert set(found["plan"]) == {"basic", "plus", "Top", "Unknown"}
    assert set(found["paperless"]) == {"yes", "no", "Unknown"}
    assert {"Other", "Unknown"} < set(found["city"])
    assert found["city"].value_counts().drop("Unknown").min() >= 20


@pytest.mark.parametrize("reverse", [False, True])
def test_most_frequent_values_are_slices_in_any_order_of_the_rows(reverse: bool) -> None:
    """Ten values of one frequency: the first six by name; the others are with a rare one."""
    values = [*"abcdefghij"] * 25 + ["aa"]
    rows = customers(251).assign(plan=values[::-1] if reverse else values, city=None)
    found = slices(rows, CHURN)
    assert set(found["plan"]) == {*"abcdef", "Other"}
    assert set(found["city"]) == {"Unknown"}


def test_conditions_have_names_that_are_columns() -> None:
    given = ["plan = 'C++'", "plan = 'C#'", "plan", "city = 'O''Neil'", "plan = 'Ж'"]
    table = CHURN.model_copy(update={"slices": tuple(given)})
    names = list(table.slices_by_name)
    assert names == ["plan_c", "plan_c_2", "plan", "city_o_neil", "plan_2"]
    rows = pd.DataFrame({"plan": ["C#", "Ж", None], "city": ["O'Neil", None, "x"]})
    found = slices(rows, table)
    assert found["plan_c_2"].tolist() == ["yes", "no", "no"]
    assert found["city_o_neil"].tolist() == ["yes", "no", "no"]
    assert found["plan_2"].tolist() == ["no", "yes", "no"]
    assert set(names) < {*contracts.schema("TestScores", table).columns}


def test_no_slices_are_none() -> None:
    table = CHURN.model_copy(update={"slices": ()})
    assert slices(customers(3), table).shape == (3, 0)


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_sentences_have_the_words_of_the_table(answer: str) -> None:
    """The negative class is larger, and comes first in the alphabet."""
    rows = customers()
    positive = (rows["churned"] == "Yes").to_numpy()
    scores = {
        "candidate": pd.Series(0.9 if answer == "Yes" else 0.1, rows.index).to_numpy(),
        "constant": pd.Series(positive.mean(), rows.index).to_numpy(),
    }
    options = EvaluationOptions(resamples=20)
    found = evaluate(positive, scores, slices(rows, CHURN), options, 0.5)
    assert one_class(found, CHURN)["predictions"].startswith(
        f"The candidate predicts {answer} for every test row"
    )
    assert titles(positive.mean())["constant"] == f"constant ({positive.mean():.0%})"
    only = evaluate(
        positive[positive],
        {k: v[positive] for k, v in scores.items()},
        slices(rows[positive], CHURN),
        options,
        0.5,
    )
    assert one_class(only, CHURN)["labels"] == "All test labels are Yes: there is no ROC AUC."


@pytest.mark.parametrize("table", [TABLE, CHURN, CHURN.model_copy(update={"slices": ()})])
def test_contract_of_test_scores_has_the_slices(table: TableSpec) -> None:
    columns = list(contracts.schema("TestScores", table).columns)
    assert columns == [
        *table.slices_by_name,
        *(table.key, table.target.column),
        *("candidate", "logistic_regression", "constant", "champion"),
    ]
