"""Plan traffic: the requests of each simulated day, and the labels that become known later."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from pydantic import Field

from marvel_kedro.core.atomic_files import AtomicFile
from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import Options
from marvel_kedro.simulation.world import DriftOptions, World
from marvel_kedro.table.description import TableSpec

_DAY = timedelta(days=1)


class TrafficOptions(Options):
    """Options of `kedro traffic`."""

    requests: int = Field(1000, ge=1)  # per day
    days: int = Field(10, ge=1)
    start: date  # the first day
    records: int = Field(1, ge=1)  # per request
    clients: int = Field(1000, ge=0)  # distinct `client_request_id`s; 0 sends none
    drift: DriftOptions = DriftOptions()
    drift_from_day: int = Field(6, ge=1)  # counted from 1
    label_delay_days: int = Field(1, ge=0)  # from a request to its labels
    world_seed: int = Field(42, ge=0)  # of a synthetic world: that of the model's rows
    seed: int = Field(1, ge=1)  # of the rows that are drawn, and of the clients that send them


@dataclass(frozen=True)
class Request:
    """A body, and the simulated time at which it is sent, in RFC 3339."""

    body: bytes
    at: str


@dataclass(frozen=True)
class Day:
    """A simulated day."""

    number: int  # counted from 1
    date: date
    drifts: bool
    requests: list[Request]  # in the order of their times
    labels: pd.DataFrame  # key, target, labelled_at: one row per record, known after the delay


def days(options: TrafficOptions, world: World) -> Iterator[Day]:
    """Generate the requests lazily, a day at a time; the same options give the same bytes.

    Raises:
        ProjectError: The world has fewer rows.
    """
    rows = options.days * options.requests * options.records
    if rows > world.max_rows:
        raise ProjectError(
            f"{rows:,} rows are too many: the simulation makes at most {world.max_rows:,}. "
            "Reduce --days, --requests or --records."
        )
    return _days(options, world)


def _days(options: TrafficOptions, world: World) -> Iterator[Day]:
    streams = {drifts: _stream(options, world, drifts=drifts) for drifts in (False, True)}
    for number in range(1, options.days + 1):
        day = options.start + (number - 1) * _DAY
        drifts = options.drift.scenario != "none" and number >= options.drift_from_day
        records = list(islice(streams[drifts], options.requests * options.records))
        times = request_times(day, options.requests)
        requests = _requests(records, times, options, number, world.table.target.column)
        yield Day(number, day, drifts, requests, _labels(records, times, options, world.table))


def request_times(day: date, requests: int) -> list[datetime]:
    """Return times spread evenly over a day, from midnight (UTC) on."""
    midnight = datetime.combine(day, time(), UTC)
    return [midnight + _DAY * number / requests for number in range(requests)]


def labels_due(planned: Sequence[Day], today: int, delay_days: int) -> pd.DataFrame:
    """Return the labels that became known by the end of a day, of at least one planned day."""
    due = (day.labels for day in planned if day.number == today - delay_days)
    return next(due, planned[0].labels[:0])


def add_labels(path: Path, labels: pd.DataFrame) -> int:
    """Add rows atomically to the table of labels, newest per key; return its number of rows."""
    key = labels.columns[0]
    existing = [pd.read_parquet(path)] if path.exists() else []
    rows = pd.concat([*existing, labels])
    rows = rows.drop_duplicates(key, keep="last", ignore_index=True)
    with AtomicFile(path, "wb") as file:
        file.write(rows.to_parquet(index=False))
    return len(rows)


def _stream(options: TrafficOptions, world: World, *, drifts: bool) -> Iterator[dict[str, Any]]:
    """Draw new records, shuffled, because a world may generate related ones in sequence."""
    drift = options.drift if drifts else DriftOptions()
    fingerprint, chunks = world.draw(options.world_seed, options.seed, drift)
    # Other rows have other keys: their labels may differ.
    suffix = f"~{crc32(fingerprint.encode()):08x}"
    table = world.table
    names = [table.key, *table.inputs, table.target.column]
    for number, records in enumerate(chunks):
        generator = np.random.default_rng([options.seed, number])
        rows = records[names].sample(frac=1, random_state=generator)
        rows[table.key] += suffix
        for values in rows.astype(object).where(rows.notna(), None).itertuples(index=False):
            yield dict(zip(names, values, strict=True))


def _requests(
    rows: list[dict[str, Any]],
    times: list[datetime],
    options: TrafficOptions,
    day: int,
    target: str,
) -> list[Request]:
    generator = np.random.default_rng([options.seed, day])
    clients = generator.integers(max(options.clients, 1), size=len(times))
    records = ({name: row[name] for name in row if name != target} for row in rows)
    requests = []
    for at, client in zip(times, clients, strict=True):
        body: dict[str, Any] = {"dataframe_records": list(islice(records, options.records))}
        if options.clients:
            body["client_request_id"] = f"client-{client}"
        text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        requests.append(Request(json.dumps(body, ensure_ascii=False).encode(), text))
    return requests


def _labels(
    records: list[dict[str, Any]],
    times: list[datetime],
    options: TrafficOptions,
    table: TableSpec,
) -> pd.DataFrame:
    labels = pd.DataFrame(records, columns=[table.key, table.target.column], dtype="str")
    known = pd.Series(times, dtype="datetime64[us, UTC]") + options.label_delay_days * _DAY
    return labels.assign(labelled_at=known.repeat(options.records).array)
