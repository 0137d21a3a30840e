"""Records drawn from a table's own rows, and the drift of them, against independent references."""

import json
import math
import tracemalloc
from datetime import date
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score
from support.examples import at_most

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.simulation import resampling, row_drift, traffic_plan
from marvel_kedro.simulation.resampling import ResampledWorld
from marvel_kedro.simulation.world import DriftOptions
from marvel_kedro.table.description import TableSpec

LOANS = TableSpec.model_validate(
    {
        "name": "loans",
        "file": "loans.csv",
        "row": {"one": "loan", "many": "loans"},
        "key": "loan",
        "target": {"column": "repaid", "positive": "1", "negative": "0"},
        "columns": {
            "loan": {"kind": "id"},
            "income": {"kind": "number"},
            "age": {"kind": "number"},
            "purpose": {"kind": "category"},
            "note": {"kind": "text"},
            "branch": {"kind": "category", "feature": False},
            "repaid": {"kind": "category"},
        },
    }
)
PURPOSES = ["car", "house", "holiday"]


def loans(rows: int = 2000, share: float = 0.3, seed: int = 0) -> pd.DataFrame:
    """Make records: the share of the class 1 rises with income, and is higher for houses."""
    draw = np.random.default_rng(seed)
    income, purpose = draw.normal(0, 50, rows), draw.choice(PURPOSES, rows, p=[0.5, 0.2, 0.3])
    score = income / 25 + 2.0 * (purpose == "house") + draw.logistic(size=rows)
    return pd.DataFrame(
        {
            "loan": [f"L{number}" for number in range(rows)],
            "income": income,
            "age": np.where(draw.random(rows) < 0.1, np.nan, draw.integers(18, 90, rows)),
            "purpose": purpose,
            "note": [f"note {number}" for number in range(rows)],
            "branch": "north",
            "repaid": np.where(score > np.quantile(score, 1 - share), "1", "0"),
        }
    ).astype({"purpose": "str", "repaid": "str"})


ROWS = loans()
WORLD = ResampledWorld(LOANS, ROWS)


def drift(scenario: str, magnitude: float = 1.0) -> DriftOptions:
    return DriftOptions.model_validate({"scenario": scenario, "magnitude": magnitude})


def drawn(world: ResampledWorld = WORLD, options: DriftOptions = drift("none")) -> pd.DataFrame:  # noqa: B008
    """Draw 60,000 records; `origin` is the key of the row that each of them repeats."""
    rows = pd.concat(islice(world.draw(42, 1, options)[1], 12), ignore_index=True)
    return rows.assign(origin=rows["loan"].str.partition("~")[0])


def repaid(rows: pd.DataFrame) -> "pd.Series[bool]":
    return rows["repaid"] == "1"


def test_records_without_drift_are_the_rows_of_the_table_equally_often() -> None:
    rows = drawn()
    assert rows["loan"].is_unique
    found = rows.drop(columns="loan").rename(columns={"origin": "loan"}).drop_duplicates()
    expected = ROWS.drop(columns="branch").set_index("loan").loc[found["loan"]].reset_index()
    pd.testing.assert_frame_equal(found[expected.columns].reset_index(drop=True), expected)
    counts = rows["origin"].value_counts().reindex(ROWS["loan"], fill_value=0)
    assert counts.mean() == 30
    assert counts.var() == pytest.approx(30, rel=0.15)  # of a Poisson distribution


@pytest.mark.parametrize("magnitude", [0.25, 0.5, 1.0])
def test_covariate_drift_tilts_ranks_of_the_columns_nearest_to_the_class(magnitude: float) -> None:
    rows = drawn(options=drift("covariate", magnitude))
    assert repaid(rows).mean() > repaid(ROWS).mean()
    labels = ROWS.set_index("loan")["repaid"].loc[rows["origin"]]
    assert (rows["repaid"].to_numpy() == labels.to_numpy()).all(), "a class given its inputs stays"
    ranks = ROWS["income"].rank(pct=True).to_numpy()
    rank = np.interp(rows["income"], np.sort(ROWS["income"]), np.sort(ranks))
    tilt = row_drift.TILT * magnitude
    assert rank.mean() == pytest.approx(1 / (1 - math.exp(-tilt)) - 1 / tilt, abs=0.015)
    # The cumulative distribution of an exponential tilt of uniform numbers, as a reference.
    assert kstest(rank, lambda x: np.expm1(tilt * x) / math.expm1(tilt)).statistic < 0.05
    assert kstest(rank, "uniform").statistic > 0.1, "more than the threshold of input_drift"
    assert (rows["purpose"] == "house").mean() > (ROWS["purpose"] == "house").mean() * 1.2
    described = WORLD.describe(drift("covariate", magnitude))
    assert described == "covariate drift: more loans with high income and purpose house"


@pytest.mark.parametrize(("share", "moved"), [(0.01, 0.33), (0.3, 0.62), (0.5, 0.82), (0.9, 0.58)])
def test_prior_drift_moves_the_share_and_keeps_inputs_given_the_class(
    share: float, moved: float
) -> None:
    table = loans(share=share)
    rows = drawn(ResampledWorld(LOANS, table), drift("prior"))
    # Of equal classes the negative one is the rarer one, whose share rises.
    assert repaid(rows).mean() == pytest.approx(moved if share != 0.5 else 1 - moved, abs=0.01)
    for label in ("0", "1"):
        before, after = (each[each["repaid"] == label]["income"] for each in (table, rows))
        assert after.mean() == pytest.approx(before.mean(), abs=before.std() * 0.1)


@pytest.mark.parametrize("magnitude", [0.3, 0.9])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.8])
def test_concept_drift_flips_the_promised_share_in_one_part_of_the_inputs(
    share: float, magnitude: float
) -> None:
    table = loans(share=share)
    world = ResampledWorld(LOANS, table)
    rows = drawn(world, drift("concept", magnitude))
    before = table.set_index("loan")["repaid"]
    after = rows.groupby("origin")["repaid"].unique()
    assert (after.map(len) == 1).all(), "an input has one outcome"
    flipped = after.map(lambda labels: labels[0]) != before.loc[after.index]
    rarer = min(share, 1 - share)
    assert flipped.sum() == pytest.approx(magnitude * rarer * len(table), abs=2)
    assert set(rows["repaid"]) == {"0", "1"}
    incomes = table.set_index("loan").loc[after.index, "income"]
    side = "low" if share < 0.5 else "high"
    inside = (
        incomes <= incomes[flipped].max() if side == "low" else incomes >= incomes[flipped].min()
    )
    assert (inside == flipped).all()
    scores = [roc_auc_score(repaid(each), each["income"]) for each in (table, rows)]
    assert scores[1] < scores[0] - 0.3 * magnitude
    text = world.describe(drift("concept", magnitude))
    assert text.startswith("concept drift: 1 and 0 are exchanged for ")
    assert text.endswith(f"of the loans, those with {side} income")


def test_concept_drift_of_texts_only_names_a_value() -> None:
    table = LOANS.model_copy(
        update={"columns": {n: c for n, c in LOANS.columns.items() if not c.is_number}}
    )
    world = ResampledWorld(table, ROWS.drop(columns=["income", "age"]))
    text = world.describe(drift("concept", 0.2))
    assert (
        text == "concept drift: 1 and 0 are exchanged for 6% of the loans, those with purpose car"
    )


@at_most(25)
@given(data=st.data())
def test_any_rows_can_drift(data: st.DataObject) -> None:
    """Constants, nulls, one row of a class, infinite differences of scale, odd texts."""
    number = st.one_of(st.none(), st.floats(-1e300, 1e300), st.just(0.0))
    text = st.one_of(st.none(), st.sampled_from(["a", "b"]), st.text(max_size=3))
    row = st.tuples(number, number, text, text, st.sampled_from("01"))
    made = data.draw(st.lists(row, min_size=2, max_size=40))
    columns = ["income", "age", "purpose", "note", "repaid"]
    table = pd.DataFrame(made, columns=columns).assign(loan=[f"~{n}" for n in range(len(made))])
    table = table.astype({"income": float, "age": float, "purpose": "str", "note": "str"})
    options = data.draw(
        st.builds(
            DriftOptions,
            scenario=st.sampled_from(["covariate", "prior", "concept"]),
            magnitude=st.floats(0.01, 1),
        )
    )
    world = ResampledWorld(LOANS, table)
    if set(table["repaid"]) != {"0", "1"}:
        with pytest.raises(ProjectError, match="loans of both classes, 1 and 0"):
            world.draw(1, 1, options)
        return
    (name, chunks), (again, same) = world.draw(1, 1, options), world.draw(1, 1, options)
    rows = next(chunks)
    pd.testing.assert_frame_equal(rows, next(same))
    assert name == again != world.draw(1, 2, options)[0]
    assert rows["loan"].is_unique
    assert set(rows["repaid"]) <= {"0", "1"}
    assert rows[columns[:4]].drop_duplicates().merge(table[columns[:4]]).shape[0] > 0
    assert world.describe(options).startswith(f"{options.scenario} drift: ")


def test_memory_is_bounded_for_many_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "SAMPLE_ROWS", 500)
    world = ResampledWorld(LOANS, loans(5000))
    peaks = []
    for chunks in (2, 8):
        tracemalloc.start()
        origins = set()
        for rows in islice(world.draw(1, 1, drift("none"))[1], chunks):
            origins |= set(rows["loan"].str.partition("~")[0])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert len(origins) == 500
    assert peaks[1] < peaks[0] * 1.2
    with pytest.raises(ProjectError, match="no test rows to draw loans from"):
        ResampledWorld(LOANS, loans().head(0))


def test_traffic_has_the_names_and_types_of_the_table() -> None:
    options = {"requests": 50, "days": 2, "start": date(2026, 3, 1), "records": 2}
    options |= {"drift": {"scenario": "concept", "magnitude": 1.0}, "drift_from_day": 2}
    made = list(traffic_plan.days(traffic_plan.TrafficOptions.model_validate(options), WORLD))
    sent: list[dict[str, Any]] = [
        record
        for day in made
        for request in day.requests
        for record in json.loads(request.body)["dataframe_records"]
    ]
    assert list(sent[0]) == ["loan", "income", "age", "purpose", "note"]
    assert any(record["age"] is None for record in sent)
    assert all(isinstance(record["income"], float) for record in sent)
    labels = pd.concat([day.labels for day in made], ignore_index=True)
    assert list(labels) == ["loan", "repaid", "labelled_at"]
    assert labels["loan"].is_unique
    assert labels["loan"].to_list() == [record["loan"] for record in sent]
    before = ROWS.set_index("loan")["repaid"].loc[labels["loan"].str.partition("~")[0]]
    changed = labels["repaid"].to_numpy() != before.to_numpy()
    assert not changed[:100].any()
    assert 0.15 < changed[100:].mean() < 0.45
