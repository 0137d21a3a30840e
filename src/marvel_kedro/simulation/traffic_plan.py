"""Plan traffic: the requests of each simulated day, and the labels that become known later."""

import json
from collections.abc import Iterable, Iterator
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
from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS
from marvel_kedro.simulation.world import DriftOptions, World
from marvel_kedro.table.cleaning import read_source, select_usable

_DAY = timedelta(days=1)
_LABELS = ["page_id", "alive", "labelled_at"]


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
    world_seed: int = Field(42, ge=0)  # with which the model's synthetic rows were generated
    seed: int = Field(1, ge=1)  # of the new rows of that world, and of the clients that send them


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
    labels: pd.DataFrame  # page_id, alive, labelled_at: one row per record, known after the delay


def days(options: TrafficOptions, world: World) -> Iterator[Day]:
    """Generate the requests lazily, a day at a time; the same options give the same bytes.

    Raises:
        ProjectError: The world has fewer rows.
    """
    rows = options.days * options.requests * options.records
    if rows > world.max_rows:
        raise ProjectError(
            f"{rows:,} rows are too many: the synthetic generator makes at most "
            f"{world.max_rows:,}. Reduce --days, --requests or --records."
        )
    return _days(options, world)


def _days(options: TrafficOptions, world: World) -> Iterator[Day]:
    streams = {drifts: _stream(options, world, drifts=drifts) for drifts in (False, True)}
    for number in range(1, options.days + 1):
        day = options.start + (number - 1) * _DAY
        drifts = options.drift.scenario != "none" and number >= options.drift_from_day
        records = list(islice(streams[drifts], options.requests * options.records))
        times = request_times(day, options.requests)
        requests = _requests(records, times, options, number)
        yield Day(number, day, drifts, requests, _labels(records, times, options))


def request_times(day: date, requests: int) -> list[datetime]:
    """Return times spread evenly over a day, from midnight (UTC) on."""
    midnight = datetime.combine(day, time(), UTC)
    return [midnight + _DAY * number / requests for number in range(requests)]


def labels_due(planned: Iterable[Day], today: int, delay_days: int) -> pd.DataFrame:
    """Return the labels that became known by the end of a day."""
    due = (day.labels for day in planned if day.number == today - delay_days)
    return next(due, pd.DataFrame(columns=_LABELS))


def add_labels(path: Path, labels: pd.DataFrame) -> int:
    """Add rows atomically to the table of labels, newest per page; return its number of rows."""
    existing = [pd.read_parquet(path)] if path.exists() else []
    rows = pd.concat([*existing, labels])
    rows = rows.drop_duplicates("page_id", keep="last", ignore_index=True)
    with AtomicFile(path, "wb") as file:
        file.write(rows.to_parquet(index=False))
    return len(rows)


def _stream(options: TrafficOptions, world: World, *, drifts: bool) -> Iterator[dict[str, Any]]:
    """Draw new records, shuffled, because the variants of a name are generated in sequence."""
    drift = options.drift if drifts else DriftOptions()
    fingerprint, chunks = world.draw(options.world_seed, options.seed, drift)
    # Other rows under the same title are other pages: their labels may differ.
    suffix = f"~{crc32(fingerprint.encode()):08x}"
    names = ["page_id", *TEXT_COLUMNS, *NUMBER_COLUMNS, "alive"]
    for number, raw in enumerate(chunks):
        generator = np.random.default_rng([options.seed, number])
        usable = select_usable(read_source(raw, world.table), world.table)
        rows = usable[names].sample(frac=1, random_state=generator)
        rows["page_id"] += suffix
        for values in rows.astype(object).where(rows.notna(), None).itertuples(index=False):
            yield dict(zip(names, values, strict=True))


def _requests(
    rows: list[dict[str, Any]], times: list[datetime], options: TrafficOptions, day: int
) -> list[Request]:
    generator = np.random.default_rng([options.seed, day])
    clients = generator.integers(max(options.clients, 1), size=len(times))
    records = ({name: row[name] for name in row if name != "alive"} for row in rows)
    requests = []
    for at, client in zip(times, clients, strict=True):
        body: dict[str, Any] = {"dataframe_records": list(islice(records, options.records))}
        if options.clients:
            body["client_request_id"] = f"client-{client}"
        text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        requests.append(Request(json.dumps(body, ensure_ascii=False).encode(), text))
    return requests


def _labels(
    records: list[dict[str, Any]], times: list[datetime], options: TrafficOptions
) -> pd.DataFrame:
    labels = pd.DataFrame(records, columns=_LABELS[:2], dtype="str")
    known = pd.Series(times, dtype="datetime64[us, UTC]") + options.label_delay_days * _DAY
    return labels.assign(labelled_at=known.repeat(options.records).array)
