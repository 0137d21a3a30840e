"""A realistic inference table: two entities, every form of request, errors, late labels."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from deltalake import write_deltalake

from marvel_kedro.serving.inference_table import schema

FORMS = ("dataframe_records", "dataframe_split", "instances", "inputs")
START = pd.Timestamp("2026-01-01", tz="UTC")
STATUSES, SHARES = [200, 400, 429, 504], [0.94, 0.03, 0.02, 0.01]

PAYLOAD_SCHEMA, SERVED_SCHEMA = schema.SCHEMA, schema.SERVED_SCHEMA
LABELS_SCHEMA = pa.schema(
    [
        ("page_id", pa.string()),
        ("alive", pa.string()),
        ("labelled_at", pa.timestamp("us", "UTC")),
    ]
)


@dataclass(frozen=True)
class Traffic:
    """The tables of an endpoint, and the labels of its records."""

    payload: pa.Table
    served: pa.Table
    labels: pa.Table

    def write(self, data: Path) -> None:
        """Write the tables to the paths of the environment `base`."""
        for name, table in (("inference_payload", self.payload), ("served_entities", self.served)):
            partitions = ["request_date"] if name == "inference_payload" else None
            write_deltalake(
                str(data / "07_model_output" / name), table, partition_by=partitions, mode="append"
            )
        self.labels.to_pandas().to_parquet(data / "03_primary" / "labels.parquet", index=False)

    def write_tables(self, folder: Path) -> None:
        """Write the tables to the folder of a schema, replacing those that exist."""
        for name, table in (
            ("inference_payload", self.payload),
            ("served_entities", self.served),
            ("labels", self.labels),
        ):
            partitions = ["request_date"] if name == "inference_payload" else None
            write_deltalake(folder / name, table, partition_by=partitions, mode="overwrite")


def make_traffic(
    *,
    days: int = 10,
    requests_a_day: int = 200,
    challenger_share: float = 0.3,
    champion_noise: float = 0.0,
    seed: int = 0,
) -> Traffic:
    """Make traffic for consecutive days.

    Args:
        days: Number of days.
        requests_a_day: Requests per day, of one to three records.
        challenger_share: Share of the requests that the challenger answers.
        champion_noise: Standard deviation of the error of the champion's log odds; the
            challenger's are exact.
        seed: Seed of the generator.
    """
    generator = np.random.default_rng(seed)
    payload, labels, entity = [], [], "a"
    for number in range(days * requests_a_day):
        day = number // requests_a_day
        time = START + pd.Timedelta(days=day, seconds=int(generator.integers(86_400)))
        client = number // 2  # every other one has an id, and stays with its entity
        if client % 2 or not number % 2:
            entity = "b" if generator.random() < challenger_share else "a"
        status = int(generator.choice(STATUSES, p=SHARES))
        pages = [f"Page_{number}_{place}" for place in range(int(generator.integers(1, 4)))]
        odds = generator.normal(0.8, 1.2, len(pages))
        off = generator.normal(0, champion_noise, len(pages)) if entity == "a" else 0.0
        alive = generator.random(len(pages)) < _probability(odds)
        for page, lives in zip(pages, alive, strict=True):
            late = pd.Timedelta(hours=float(generator.exponential(30)))
            labels.append((page, "Alive" if lives else "Dead", time + late))
        records = [_record(page, generator) for page in pages]
        payload.append(
            {
                "databricks_request_id": f"request-{number}",
                "request_date": time.date(),
                "client_request_id": None if client % 2 else f"client-{client}",
                "request_time": time,
                "status_code": status,
                "sampling_fraction": 1.0,
                "execution_duration_ms": int(generator.lognormal(1.5, 0.5)),
                "request": body(FORMS[number % 4], records),
                "response": answer(_probability(odds + off)) if status == 200 else "{}",
                "logging_error_codes": [],
                "served_entity_id": entity,
                "requester": "test",
            }
        )
    return Traffic(
        pa.Table.from_pylist(payload, PAYLOAD_SCHEMA),
        served_entities({"a": ("champion", "1"), "b": ("challenger", "2")}),
        pa.Table.from_pylist(
            [dict(zip(LABELS_SCHEMA.names, row, strict=True)) for row in labels], LABELS_SCHEMA
        ),
    )


def _record(page: str, generator: np.random.Generator) -> dict[str, Any]:
    return {
        "page_id": page,
        "name": page.replace("_", " "),
        "universe": str(generator.choice(["Earth-616", "Earth-199999"])),
        "gender": str(generator.choice(["Male", "Female"])),
        "height": round(float(generator.normal(1.8, 0.1)), 2),
    }


def served_entities(named: dict[str, tuple[str, str]]) -> pa.Table:
    """Return the table of served entities, from names and versions by id."""
    rows = [
        {
            "served_entity_id": entity,
            "endpoint_name": "marvel_characters",
            "served_entity_name": name,
            "entity_name": "marvel_characters",
            "entity_version": version,
            "change_time": START,
        }
        for entity, (name, version) in named.items()
    ]
    return pa.Table.from_pylist(rows, SERVED_SCHEMA)


def body(form: str, records: list[dict[str, Any]]) -> str:
    """Return a request in one of the forms; all records have the fields of the first."""
    columns = list(records[0])
    shapes: dict[str, Any] = {
        "dataframe_records": records,
        "dataframe_split": {"columns": columns, "data": [list(r.values()) for r in records]},
        "instances": records,
        "inputs": {name: [record[name] for record in records] for name in columns},
    }
    return json.dumps({form: shapes[form]})


def answer(probabilities: Any) -> str:
    """Return the body of an answer."""
    predictions = [
        {"prediction": "Alive" if value >= 0.5 else "Dead", "probability": float(value)}
        for value in probabilities
    ]
    return json.dumps({"predictions": predictions})


def _probability(odds: Any) -> Any:
    return 1 / (1 + np.exp(-odds))
