"""What is sent: the requests of each simulated day, and the labels that come later."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from pathlib import Path
from typing import Any, Self
from zlib import crc32

import numpy as np
import pandas as pd
from pydantic import Field, model_validator

from marvel_kedro.characters.options import MOST_ROWS, DriftOptions, SyntheticOptions
from marvel_kedro.characters.synthetic import chunks
from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.core.options import Options
from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS
from marvel_kedro.table.cleaning import read_source, select_usable

_DAY = timedelta(days=1)


class TrafficOptions(Options):
    """What `kedro traffic` is told.

    Attributes:
        requests: A day.
        days: How many are simulated.
        start: The first of them.
        records: Characters in a request.
        clients: Distinct `client_request_id`s; with 0 requests have none.
        drift: How the rows differ from `drift_from_day` on.
        drift_from_day: Counted from 1.
        label_delay_days: How long after a request it is known who was alive.
        world: The seed that the model's synthetic rows were made with.
        seed: Which new rows of that world are sent, and which clients send them.
    """

    requests: int = Field(1000, ge=1)
    days: int = Field(10, ge=1)
    start: date
    records: int = Field(1, ge=1)
    clients: int = Field(1000, ge=0)
    drift: DriftOptions = DriftOptions()
    drift_from_day: int = Field(6, ge=1)
    label_delay_days: int = Field(1, ge=0)
    world: int = Field(42, ge=0)
    seed: int = Field(1, ge=1)

    @model_validator(mode="after")
    def _rows_can_be_made(self) -> Self:
        rows = self.days * self.requests * self.records
        if rows > MOST_ROWS:
            raise ValueError(f"{rows:,} rows are too many: {MOST_ROWS:,} can be made up")
        return self


@dataclass(frozen=True)
class Request:
    """A body, and the simulated time at which it is sent, as RFC 3339 writes it."""

    body: bytes
    at: str


@dataclass(frozen=True)
class Day:
    """A simulated day.

    Attributes:
        number: From 1.
        date: Which.
        drifts: Whether its rows are of the scenario.
        requests: In the order of their times.
        labels: `page_id`, `alive`, `labelled_at`: one row a record, known after the delay.
    """

    number: int
    date: date
    drifts: bool
    requests: list[Request]
    labels: pd.DataFrame


def days(options: TrafficOptions) -> Iterator[Day]:
    """Make the requests, a day at a time. The same options give the same bytes."""
    streams = {drifts: _rows(options, drifts=drifts) for drifts in (False, True)}
    for number in range(1, options.days + 1):
        drifts = options.drift.scenario != "none" and number >= options.drift_from_day
        rows = _take(streams[drifts], options.requests * options.records)
        times = request_times(options.start + (number - 1) * _DAY, options.requests)
        yield Day(
            number=number,
            date=options.start + (number - 1) * _DAY,
            drifts=drifts,
            requests=_requests(rows, times, options, number),
            labels=_labels(rows, times, options),
        )


def request_times(day: date, requests: int) -> list[datetime]:
    """Times that are spread evenly over a day, from midnight (UTC) on."""
    midnight = datetime.combine(day, time(), UTC)
    return [midnight + _DAY * number / requests for number in range(requests)]


def labels_due(made: list[Day], today: int, delay_days: int) -> pd.DataFrame:
    """The labels that came to be known on the day that ends."""
    known = [day.labels for day in made if day.number == today - delay_days]
    return pd.concat(known) if known else pd.DataFrame(columns=["page_id", "alive", "labelled_at"])


def add_labels(path: Path, labels: pd.DataFrame) -> int:
    """Add rows to the table of labels, one a page: the newest. Readers see all of it or none.

    Returns:
        How many rows the table has.
    """
    there = [pd.read_parquet(path)] if path.exists() else []
    rows = pd.concat([*there, labels]).drop_duplicates("page_id", keep="last", ignore_index=True)
    with AtomicFile(path, "wb") as file:
        file.write(rows.to_parquet(index=False))
    return len(rows)


def _rows(options: TrafficOptions, *, drifts: bool) -> Iterator[dict[str, Any]]:
    """New characters of the world, shuffled: the variants of a name are made one after another."""
    drift = options.drift if drifts else DriftOptions(scenario="none")
    world = SyntheticOptions(rows=MOST_ROWS, seed=options.world, row_seed=options.seed, drift=drift)
    # Other rows under the same title: no label of the one is the other's.
    mark = f"~{crc32(world.model_dump_json().encode()):08x}"
    for number, raw in enumerate(chunks(world)):
        rows = select_usable(read_source(raw))[
            ["page_id", *TEXT_COLUMNS, *NUMBER_COLUMNS, "alive"]
        ].sample(frac=1, random_state=np.random.default_rng([options.seed, number]))
        rows["page_id"] += mark
        names = list(rows.columns)
        for values in rows.astype(object).where(rows.notna(), None).itertuples(index=False):
            yield dict(zip(names, values, strict=True))


def _take(rows: Iterator[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return [row for _, row in zip(range(number), rows, strict=False)]


def _requests(
    rows: list[dict[str, Any]], times: list[datetime], options: TrafficOptions, day: int
) -> list[Request]:
    generator = np.random.default_rng([options.seed, day])
    clients = generator.integers(max(options.clients, 1), size=len(times))
    made = []
    for number, at in enumerate(times):
        some = rows[number * options.records : (number + 1) * options.records]
        records = [{name: row[name] for name in row if name != "alive"} for row in some]
        body: dict[str, Any] = {"dataframe_records": records}
        if options.clients:
            body["client_request_id"] = f"client-{clients[number]}"
        text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        made.append(Request(json.dumps(body, ensure_ascii=False).encode(), text))
    return made


def _labels(
    rows: list[dict[str, Any]], times: list[datetime], options: TrafficOptions
) -> pd.DataFrame:
    delay = options.label_delay_days * _DAY
    known = chain.from_iterable([at + delay] * options.records for at in times)
    return pd.DataFrame(
        {
            "page_id": pd.Series([row["page_id"] for row in rows], dtype="str"),
            "alive": pd.Series([row["alive"] for row in rows], dtype="str"),
            "labelled_at": pd.Series(list(known), dtype="datetime64[us, UTC]"),
        }
    )
