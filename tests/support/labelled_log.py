"""A realistic `inference_log`: records of `kedro traffic` with predictions and labels."""

import json
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import write_deltalake
from support.table import TABLE

from marvel_kedro.characters.synthetic import CharacterWorld
from marvel_kedro.monitoring.tables import inference_log
from marvel_kedro.simulation import traffic_plan

INFERENCE_LOG = inference_log(TABLE)
COLUMNS = INFERENCE_LOG.names
_TIMES = ("request_time", "labelled_at")
_NUMBERS = (*TABLE.numbers, "probability")
_TEXTS = [
    name
    for name in COLUMNS
    if name not in (*_TIMES, *_NUMBERS, "record_number", "request_date", "execution_duration_ms")
]


def make_log(
    *, records: int, scenario: str, magnitude: float = 1.0, world: int = 42
) -> pd.DataFrame:
    """Make records of two days, all labelled a day later, with drift from the first day on."""
    options = traffic_plan.TrafficOptions.model_validate(
        {
            "requests": records // 2,
            "days": 2,
            "start": date(2026, 1, 1),
            "drift": {"scenario": scenario, "magnitude": magnitude},
            "drift_from_day": 1,
            "world_seed": world,
        }
    )
    generator, numbers = np.random.default_rng(0), count()
    rows: list[dict[str, Any]] = []
    for day in traffic_plan.days(options, CharacterWorld(TABLE)):
        labels = day.labels.set_index("page_id")
        for request in day.requests:
            body = json.loads(request.body)
            for place, record in enumerate(body["dataframe_records"]):
                rows.append(
                    {
                        "databricks_request_id": f"r{next(numbers)}",
                        "record_number": place,
                        "request_date": day.date,
                        "request_time": pd.Timestamp(request.at),
                        "served_entity_id": "a",
                        "served_entity_name": "champion",
                        "model_version": "1",
                        "client_request_id": body.get("client_request_id"),
                        "prediction": "Alive",
                        "probability": round(float(generator.random()), 4),
                        "execution_duration_ms": 3,
                        "alive": labels.loc[record["page_id"], "alive"],
                        "labelled_at": labels.loc[record["page_id"], "labelled_at"],
                    }
                    | record
                )
    return typed(pd.DataFrame(rows))


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns in order with their types; a missing column is null."""
    return rows.reindex(columns=list(COLUMNS)).astype(
        dict.fromkeys(_TEXTS, "str")
        | dict.fromkeys(_NUMBERS, "float64")
        | dict.fromkeys(_TIMES, "datetime64[us, UTC]")
    )


def write_log(rows: pd.DataFrame, folder: Path) -> None:
    """Write a log as a Delta table."""
    columns = {
        field.name: pa.nulls(len(rows), field.type)
        if rows[field.name].isna().all()
        else pa.array(rows[field.name], field.type, from_pandas=True)
        for field in INFERENCE_LOG
    }
    write_deltalake(str(folder), pa.table(columns, schema=INFERENCE_LOG), mode="overwrite")
