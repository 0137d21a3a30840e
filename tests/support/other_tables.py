"""Tables of other people: their description, rows, and traffic of an endpoint for them."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml
from deltalake import write_deltalake
from support.inference_traffic import (
    PAYLOAD_SCHEMA,
    START,
    Traffic,
    body,
    served_entities,
)

from marvel_kedro.monitoring.tables import labels as labels_schema
from marvel_kedro.monitoring.tables import monitoring_baseline
from marvel_kedro.table.description import TableSpec

CHURN = TableSpec.model_validate(
    {
        "name": "churn",
        "file": "customers.csv",
        "row": {"one": "customer", "many": "customers"},
        "key": "customer",
        "target": {"column": "churned", "positive": "1", "negative": "0", "words": {"yes": "1"}},
        "columns": {
            "customer": {"source": "Customer No.", "kind": "id"},
            "balance": {"kind": "number", "unit": "EUR", "below": 1e9},
            "order": {"kind": "category"},
            "paperless": {"kind": "boolean"},
            "joined": {"kind": "date"},
            "tags": {"kind": "set", "separator": "|"},
            "client": {"kind": "text"},
            "churned": {"kind": "category"},
        },
    }
)
"""Every kind of column, negative numbers, a word of SQL, a word of the A/B test; no group."""

READINGS = TableSpec.model_validate(
    {
        "name": "readings",
        "file": "readings.csv",
        "key": "sample",
        "target": {"column": "label", "positive": "Yes"},
        "columns": {
            "sample": {"kind": "id"},
            **{
                name: {"kind": "number"}
                for name in ("value", "rows", "units", "unit", "period", "column_name", "predicted")
            },
            "label": {"kind": "category"},
        },
    }
)
"""Numbers only, whose names monitoring might use itself; every other label is `not Yes`."""


def make_rows(table: TableSpec, rows: int, seed: int, moved: float = 0.0) -> pd.DataFrame:
    """Draw rows with the probability of the positive class; `moved` shifts each number."""
    generator = np.random.default_rng(seed)
    columns: dict[str, Any] = {table.key: [f"{seed}-{row:04}" for row in range(rows)]}
    for name, column in table.inputs.items():
        number = generator.normal(moved, 1, rows)
        whole = np.abs(number * 10).astype(int)
        columns[name] = {
            "number": number.round(3) * 100,
            "boolean": np.where(whole % 2, "true", "false"),
            "date": [f"{date(2024, 1, 1) + timedelta(days=int(day))}" for day in whole],
            "set": [f"a|b{one % 7}" for one in whole],
        }.get(column.kind, [f"{name} {one % 3}" for one in whole])
    chance = generator.uniform(0.05, 0.95, rows).round(4)
    hit = generator.random(rows) < chance
    columns[table.target.column] = np.where(hit, *table.target.classes)
    return pd.DataFrame(columns).assign(probability=chance)


def predicted(table: TableSpec, rows: pd.DataFrame) -> list[str]:
    return [table.target.classes[value < 0.5] for value in rows["probability"]]


def make_traffic(table: TableSpec, rows: pd.DataFrame, days: int = 2) -> Traffic:
    """Send rows over some days, ten in a request; a third have no label yet."""
    requests = []
    for number, start in enumerate(range(0, len(rows), 10)):
        some = rows.iloc[start : start + 10]
        sent: list[Any] = some[[table.key, *table.inputs]].to_dict("records")
        for record in sent:
            record |= {"no longer described": 1}
            for name, column in table.inputs.items():
                if column.kind == "boolean":  # as clients write it in JSON
                    record[name] = record[name] == "true"
        answers = [
            {"prediction": name, "probability": value}
            for name, value in zip(predicted(table, some), some["probability"], strict=True)
        ]
        time = START + pd.Timedelta(days=start * days // len(rows), minutes=number)
        requests.append(
            {
                "databricks_request_id": f"r{number}",
                "request_date": time.date(),
                "client_request_id": f"client {number}",
                "request_time": time,
                "status_code": 200,
                "execution_duration_ms": 5,
                "request": body("dataframe_records", sent),
                "response": pd.Series({"predictions": answers}).to_json(),
                "logging_error_codes": [],
                "served_entity_id": "ab"[number % 2],
            }
        )
    known = rows[rows.index % 3 != 0]
    labels = pa.table(
        [known[table.key], known[table.target.column], [START + pd.Timedelta(days=1)] * len(known)],
        schema=labels_schema(table),
    )
    return Traffic(
        pa.Table.from_pylist(requests, PAYLOAD_SCHEMA),
        served_entities({"a": ("champion", "1"), "b": ("challenger", "2")}),
        labels,
    )


def describe(project: Path, table: TableSpec) -> None:
    described = {"table": table.model_dump(exclude_defaults=True)}
    (project / "conf/base/table.yml").write_text(yaml.safe_dump(described, sort_keys=False))


def install(project: Path, table: TableSpec, baseline: pd.DataFrame) -> None:
    """Describe a table in a project, with a test set and the scores of its two versions."""
    describe(project, table)
    tested = baseline[list(table.columns)]
    (project / "data/05_model_input").mkdir(exist_ok=True)
    tested.to_parquet(project / "data/05_model_input/test_set.parquet", index=False)
    scored = [
        baseline.assign(model_version=version, prediction=predicted(table, baseline))
        for version in ("1", "2")
    ]
    rows = pa.Table.from_pandas(pd.concat(scored), monitoring_baseline(table), preserve_index=False)
    folder = project / "data/07_model_output/monitoring_baseline"
    write_deltalake(str(folder), rows, partition_by=["model_version"])
