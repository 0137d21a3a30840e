"""A table of another kind than the project's: customers who leave, or do not."""

from typing import Any

import numpy as np
import pandas as pd

from marvel_kedro.table.description import TableSpec

DESCRIPTION: dict[str, Any] = {
    "name": "churn",
    "file": "customers.csv",
    "row": {"one": "customer", "many": "customers"},
    "key": "customer",
    "target": {"column": "churned", "positive": "yes", "negative": "no"},
    "columns": {
        "customer": {"source": "Customer No.", "kind": "id"},
        "balance": {"kind": "number", "unit": "EUR"},
        "calls": {"kind": "number", "above": -1},
        "tariff": {"kind": "category"},
        "partner": {"kind": "boolean"},
        "joined": {"kind": "date"},
        "tags": {"kind": "set", "separator": "|"},
        "churned": {"kind": "category"},
    },
}
CHURN = TableSpec.model_validate(DESCRIPTION)


def customers(rows: int = 200) -> pd.DataFrame:
    """Make rows of the file; those with a low balance and many calls tend to leave."""
    random = np.random.default_rng(3)
    balance = random.normal(100, 300, rows).round(2)
    calls = random.integers(0, 9, rows)
    leaves = random.random(rows) < 1 / (1 + np.exp(balance / 100 - calls + 3))
    day = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 700, rows), "D")
    return pd.DataFrame(
        {
            "Customer No.": [f"{number:05}" for number in range(rows)],
            "balance": balance,
            "calls": calls,
            "tariff": random.choice(["basic", "plus", "max"], rows),
            "partner": random.choice(["true", "false"], rows),
            "joined": day.strftime("%Y-%m-%d"),
            "tags": random.choice(["", "new", "new|vip", "vip"], rows),
            "churned": np.where(leaves, "yes", "no"),
        }
    )
