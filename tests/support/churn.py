"""A table of customers with a column of every kind, and none of Marvel's."""

import numpy as np
import pandas as pd

from marvel_kedro.table.description import TableSpec

CHURN = TableSpec.model_validate(
    {
        "name": "churn",
        "file": "customers.csv",
        "row": {"one": "customer", "many": "customers"},
        "key": "customer",
        "target": {"column": "churned", "positive": "Yes", "negative": "No"},
        "columns": {
            "customer": {"source": "Customer", "kind": "id"},
            "balance": {"source": "Balance", "kind": "number", "unit": "EUR"},
            "age": {"source": "Age", "kind": "number", "above": 0},
            "plan": {"source": "Plan", "kind": "category"},
            "city": {"source": "City", "kind": "category"},
            "agent": {"source": "Agent", "kind": "id"},
            "paperless": {"source": "Paperless", "kind": "boolean"},
            "since": {"source": "Since", "kind": "date", "format": "%d.%m.%Y"},
            "last_call": {"source": "Last call", "kind": "date"},
            "products": {"source": "Products", "kind": "set", "separator": "|"},
            "complaint": {"source": "Complaint", "kind": "text"},
            "churned": {"source": "Churned", "kind": "category"},
        },
    }
)


def customers(rows: int = 800, seed: int = 1) -> pd.DataFrame:
    """Make the table `records`; old balances, one plan and a word tell who churns."""
    draw = np.random.default_rng(seed)
    balance = draw.normal(100, 300, rows)
    plan = draw.choice(["basic", "plus", "Top"], rows, p=[0.6, 0.3, 0.1])
    complaint = draw.choice(["Line was dead", "Slow answers", "Größere Rechnung"], rows)
    city = np.array([f"City {number}" for number in draw.geometric(0.05, rows)])
    paperless = draw.choice(["yes", "no"], rows)
    score = balance / -300 + (plan == "basic") + (complaint == "Slow answers") - 1
    since = pd.Timestamp("2015-01-01") + pd.to_timedelta(draw.integers(0, 3000, rows), "D")
    table = pd.DataFrame(
        {
            "customer": [f"C{number:05d}" for number in range(rows)],
            "balance": balance.round(2),
            "age": draw.integers(18, 90, rows).astype(float),
            "plan": plan,
            "city": city,
            "agent": [f"A{number}" for number in draw.integers(0, 20, rows)],
            "paperless": paperless,
            "since": since.strftime("%d.%m.%Y"),
            "last_call": pd.Timestamp("2024-05-06T07:08:09Z").isoformat(),
            "products": draw.choice(["phone|tv", "tv", "phone | mobile", "mobile"], rows),
            "complaint": complaint,
            "churned": np.where(draw.random(rows) < 1 / (1 + np.exp(-score)), "Yes", "No"),
        }
    )
    gaps = draw.random(table.shape) < 0.05
    gaps[:, [0, -1]] = False  # neither the key nor the target
    texts = [name for name in table if not CHURN.columns[str(name)].is_number]
    return table.mask(gaps).astype(dict.fromkeys(texts, "str"))
