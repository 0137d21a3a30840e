"""A champion of another table is no rival, and scores no records of this one."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, Schema, TensorSpec
from support.churn import CHURN
from support.project import Project

from marvel_kedro.model.other_table import difference
from marvel_kedro.model.registry import RegisteredModel
from marvel_kedro.table.description import Column, TableSpec
from marvel_kedro.table.options import RecordedSplit

INPUTS = {name: "double" if c.is_number else "string" for name, c in CHURN.inputs.items()}
TABLE = CHURN.model_dump(mode="json", exclude_defaults=True)


def make(
    table: dict[str, Any] | None = TABLE,
    inputs: dict[str, str] | None = INPUTS,
    split: str = "customer",
) -> RegisteredModel:
    """A version with MLflow's description of a model, of which nothing else is read."""
    columns: list[ColSpec | TensorSpec] = [
        ColSpec(kind, name, required=False) for name, kind in (inputs or {}).items()
    ]
    signature = ModelSignature(Schema(columns)) if inputs else None
    metadata = {"table": table} if table else None
    saved = SimpleNamespace(metadata=Model(signature=signature, metadata=metadata))
    return RegisteredModel("m", "3", "file", RecordedSplit(column=split), saved, Path())


def target(**changes: Any) -> dict[str, Any]:
    return TABLE | {"target": TABLE["target"] | changes}


def column(name: str, **changes: Any) -> dict[str, Column]:
    return CHURN.columns | {name: CHURN.columns[name].model_copy(update=changes)}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, ""),
        ({"table": None}, ""),
        ({"table": TABLE | {"name": "other", "slices": [], "new": "key"}}, ""),
        ({"inputs": {"balance": "long", "plan": "string"}}, ""),
        (
            {"table": target(column="left", positive="yes", negative="no")},
            "it predicts left (yes or no), not churned (Yes or No)",
        ),
        ({"table": target(positive="No", negative="Yes")}, "(No or Yes), not churned (Yes or No)"),
        ({"table": target(negative=None)}, "churned (Yes or not Yes), not"),
        ({"table": target(words={"1": "No"})}, "classes Yes and No stand for other words"),
        ({"table": TABLE | {"key": "id"}}, "its key is id, not customer"),
        (
            {"table": TABLE | {"columns": TABLE["columns"] | {"balance": {"kind": "number"}}}},
            "unit of balance is EUR in churn, and was None",
        ),
        ({"inputs": INPUTS | {"origin": "string"}}, "it takes origin, which churn lacks"),
        ({"inputs": INPUTS | {"balance": "string"}}, "takes balance as text, which is of the kind"),
        (
            {"table": None, "inputs": {"products": "double"}},
            "takes products as a number, which is of the",
        ),
        ({"inputs": None}, "no signature with names of columns"),
        ({"split": "household"}, "its rows were split by household, which churn lacks"),
    ],
)
def test_difference_is_named(given: dict[str, Any], words: str) -> None:
    found = difference(make(**given), CHURN)
    assert words in found
    assert found.startswith("version 3 is of another table: ") == bool(words)


def test_key_made_of_other_columns_is_that_of_another_table() -> None:
    """Rows that the champion was trained on would have new keys, and count as unseen."""
    made = TABLE["columns"] | {"customer": {"kind": "id", "row_hash": True}}
    now = TableSpec.model_validate(TABLE | {"columns": made})
    assert not difference(make(TABLE | {"columns": made}), now)
    fewer = {name: column for name, column in made.items() if name != "complaint"}
    inputs = {name: kind for name, kind in INPUTS.items() if name != "complaint"}
    found = difference(make(TABLE | {"columns": fewer}, inputs), now)
    assert "its key customer was made of other columns" in found


@pytest.mark.parametrize(
    "changes",
    [
        {"key": "agent"},
        {"target": CHURN.target.model_copy(update={"words": {"1": "Yes"}})},
        {"columns": column("balance", unit="USD")},
        {"columns": column("since", format="%Y-%m-%d")},
        {"columns": column("products", separator=";")},
        {"columns": column("age", kind="category", above=None)},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_difference_makes_another_version(changes: dict[str, Any]) -> None:
    """A version of the same trees would be found, and stay a champion of another table for ever."""
    now = CHURN.model_copy(update=changes)
    assert difference(make(), now)
    assert now.fingerprint != CHURN.fingerprint
    renamed = CHURN.model_copy(update={"columns": column("balance", meaning="Money")})
    assert renamed.fingerprint == CHURN.fingerprint
    assert not difference(make(), renamed)


def described(project: Project, before: str, after: str) -> None:
    path = project.path / "conf" / "base" / "table.yml"
    assert before in path.read_text()
    path.write_text(path.read_text().replace(before, after))


def test_champion_of_another_table_gives_way_if_the_checks_pass(watched: Project) -> None:
    """The height becomes text, which the champion takes as a number."""
    number = "kind: number, unit: m, above: 0, below: 1000000, meaning: Height"
    described(watched, number, "kind: category, meaning: Height")
    described(watched, "slices: [identity, gender,", "slices: [gender, origin,")
    few = "training.fit.max_trees=80,training.fit.folds=2"
    refused = watched.cli("--params", f"{few},training.gate.min_roc_auc=0.99")
    assert refused.status == 1
    output = re.sub(r"[\s│]+", " ", refused.output)
    other = "version 1 is of another table: it takes height as a number, which is of the kind"
    assert f"no comparison with the champion: {other}" in output
    assert f"The champion cannot score the records: {other}" in output
    assert watched.champion().version == 1
    assert watched.report("promotion")["reason"].count(other) == 1

    lenient = f"{few},training.gate.min_constant_gain=-0.5,training.gate.min_regression_gain=-0.5"
    outcome = watched.cli("--pipelines", "processing,training", "--params", lenient)
    assert outcome.status == 0, outcome.output
    promotion = watched.report("promotion")
    assert (promotion["promoted"], promotion["previous_champion"]) == (True, "1")
    assert f"No comparison with the champion: {other} category" in promotion["reason"]
    assert other in (watched.path / "data/08_reporting/model_card.md").read_text()
    scores = watched.table("test_scores")
    assert scores["champion"].isna().all()
    assert {"gender", "origin", "universe_earth_616", "constant"} < {*scores}
    assert watched.champion().version == 2
