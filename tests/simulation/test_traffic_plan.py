import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import at_most
from support.raw_rows import many_raw_rows, usable
from support.table import TABLE

from marvel_kedro.characters.synthetic import CharacterWorld
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.simulation import traffic_plan
from marvel_kedro.simulation.traffic_plan import Day, TrafficOptions
from marvel_kedro.simulation.world import DriftOptions

START = date(2026, 3, 1)
WORLD = CharacterWorld(TABLE)


class SmallWorld:
    """A hundred rows: the plan works for any world."""

    table = TABLE
    max_rows = 100

    def draw(
        self, seed: int, row_seed: int, drift: DriftOptions
    ) -> tuple[str, Iterator[pd.DataFrame]]:
        return f"{seed} {row_seed} {drift}", iter([usable(many_raw_rows(self.max_rows))])

    def describe(self, drift: DriftOptions) -> str:
        return drift.scenario


def options(**changed: Any) -> TrafficOptions:
    given = {"start": START, "days": 4, "requests": 300, "drift_from_day": 3} | changed
    return TrafficOptions.model_validate(given)


def days(**changed: Any) -> list[Day]:
    return list(traffic_plan.days(options(**changed), WORLD))


def records(*made: Day) -> pd.DataFrame:
    bodies = [json.loads(request.body) for day in made for request in day.requests]
    return pd.DataFrame([record for body in bodies for record in body["dataframe_records"]])


def test_same_seed_gives_same_bytes_and_other_seed_other_pages() -> None:
    first, again, other = days(), days(), days(seed=2)
    assert [day.requests for day in first] == [day.requests for day in again]
    assert not set(records(*first)["page_id"]) & set(records(*other)["page_id"])


def test_request_has_format_of_endpoint() -> None:
    (day,) = days(days=1, requests=50, records=3, clients=4)
    bodies = [json.loads(request.body) for request in day.requests]
    assert [len(body["dataframe_records"]) for body in bodies] == [3] * 50
    assert {body["client_request_id"] for body in bodies} == {f"client-{n}" for n in range(4)}
    for record in bodies[0]["dataframe_records"]:
        assert set(record) == {"page_id", *TABLE.inputs}
    (day,) = days(days=1, requests=1, clients=0)
    assert set(json.loads(day.requests[0].body)) == {"dataframe_records"}


def test_pages_are_unique_and_not_in_training_table(
    characters: pd.DataFrame,
) -> None:
    pages = records(*days(world_seed=7))["page_id"]
    assert pages.is_unique
    assert not set(pages) & set(characters["page_id"])


def test_drift_begins_on_its_day() -> None:
    drift = {"scenario": "covariate", "magnitude": 1.0}
    made = days(requests=2000, drift=drift)
    assert [day.drifts for day in made] == [False, False, True, True]
    main = [float((records(day)["universe"] == "Earth-616").mean()) for day in made]
    assert min(main[:2]) > 0.3
    assert max(main[2:]) < 0.25
    assert not any(day.drifts for day in days(requests=1))


def test_days_before_drift_are_those_without_drift() -> None:
    calm, drifted = days(), days(drift={"scenario": "concept", "magnitude": 1.0})
    assert calm[1].requests == drifted[1].requests
    assert calm[2].requests != drifted[2].requests


def test_drifted_rows_have_page_ids_of_their_own() -> None:
    """Two runs that write to one table of labels do not overwrite the labels of each other."""
    prior = days(days=3, drift_from_day=1, drift={"scenario": "prior", "magnitude": 1.0})
    calm = days(days=3)
    assert not set(records(*prior)["page_id"]) & set(records(*calm)["page_id"])
    shares = [
        pd.concat([day.labels for day in made])["alive"].eq("Alive").mean()
        for made in (prior, calm)
    ]
    assert shares[0] < shares[1] - 0.2


@given(day=st.dates(date(1, 1, 1), date(9999, 12, 30)), requests=st.integers(1, 3000))
def test_request_times_are_evenly_spaced_within_day(day: date, requests: int) -> None:
    times = traffic_plan.request_times(day, requests)
    assert len(times) == requests
    assert times[0] == datetime(day.year, day.month, day.day, tzinfo=UTC)
    assert {time.date() for time in times} == {day}
    gap = timedelta(days=1) / requests
    assert all(abs(b - a - gap) <= timedelta(microseconds=1) for a, b in pairwise(times))


@at_most(10)
@given(number=st.integers(1, 4), delay=st.integers(0, 5))
def test_each_label_is_due_once_at_end_of_its_day(number: int, delay: int) -> None:
    made = list(
        traffic_plan.days(
            options(days=number, requests=3, records=2, label_delay_days=delay), SmallWorld()
        )
    )
    due = [traffic_plan.labels_due(made[:today], today, delay) for today in range(1, number + 1)]
    for today, labels in enumerate(due, 1):
        midnight = pd.Timestamp(START, tz="UTC") + pd.Timedelta(days=today)
        assert labels["labelled_at"].between(midnight - pd.Timedelta(days=1), midnight).all()
    found = pd.concat(due)
    assert found["page_id"].is_unique
    assert len(found) == 6 * max(0, number - delay)


def test_labels_are_those_of_sent_pages_after_delay() -> None:
    (day,) = days(days=1, requests=10, records=2, label_delay_days=3)
    assert day.labels["page_id"].to_list() == records(day)["page_id"].to_list()
    sent = [pd.Timestamp(request.at) for request in day.requests for _ in range(2)]
    delays = day.labels["labelled_at"] - pd.Series(sent)
    assert (abs(delays - pd.Timedelta(days=3)) < pd.Timedelta(milliseconds=1)).all()
    assert day.requests[5].at == "2026-03-01T12:00:00.000Z"


def test_labels_table_keeps_newest_label_per_page(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "labels.parquet"

    def labels(**alive: str) -> pd.DataFrame:
        at = pd.Series(pd.Timestamp("2026-01-01", tz="UTC"), range(len(alive)))
        columns = {"page_id": list(alive), "alive": list(alive.values())}
        return pd.DataFrame(columns).assign(labelled_at=at.astype("datetime64[us, UTC]"))

    assert traffic_plan.add_labels(path, labels(a="Alive", b="Dead")) == 2
    assert traffic_plan.add_labels(path, labels(b="Alive", c="Dead")) == 3
    found = pd.read_parquet(path)
    assert dict(zip(found["page_id"], found["alive"], strict=True)) == {
        "a": "Alive", "b": "Alive", "c": "Dead",
    }  # fmt: skip
    assert found.dtypes.astype(str).to_dict() == {
        "page_id": "str", "alive": "str", "labelled_at": "datetime64[us, UTC]",
    }  # fmt: skip


def test_more_rows_than_world_has_are_refused() -> None:
    with pytest.raises(ProjectError, match="11,000,000 rows are too many"):
        traffic_plan.days(options(days=11, requests=1_000_000), WORLD)
