"""A table of customers as files of several kinds, to adopt."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from support.project import Project

ROWS = 240


def customers(rows: int = ROWS) -> pd.DataFrame:
    """Customers with one column of each kind; `churned` is the target."""
    random = np.random.default_rng(3)
    days = pd.to_timedelta(random.integers(0, 900, rows), "D")
    churned = random.random(rows) < 0.3
    return pd.DataFrame(
        {
            "Customer ID": [f"{number:05d}" for number in range(rows)],
            "Balance (EUR)": (random.normal(0, 2000, rows) + 900 * churned).round(2),
            "Größe": random.normal(1.7, 0.1, rows).round(2),
            "ZIP": random.choice(["01067", "80331", "20095"], rows),
            "Member": random.choice(["yes", "no"], rows),
            "Since": pd.Timestamp("2019-01-01") + days,
            "Tags": [";".join("abc"[: random.integers(0, 4)]) for _ in range(rows)],
            "Tariff": random.choice(["basic", "plus", "flat"], rows),
            "Order By": np.where(random.random(rows) < 0.5, "x", "z y"),
            "churned": np.where(churned, "Yes", "No"),
        }
    )


def write_csv(folder: Path, frame: pd.DataFrame, name: str = "customers.csv") -> Path:
    """Write a plain CSV file; also .gz by its name."""
    frame.to_csv(folder / name, index=False)
    return folder / name


def write_german_csv(folder: Path) -> Path:
    """Write the customers as a German spreadsheet program does."""
    frame = customers()
    frame["Since"] = frame["Since"].dt.strftime("%d.%m.%Y")
    grouped = frame["Balance (EUR)"].map("{:,.2f}".format)
    frame["Balance (EUR)"] = grouped.str.translate(str.maketrans(",.", ".,"))
    path = folder / "kunden.csv"
    frame.to_csv(path, index=False, sep=";", decimal=",", encoding="cp1252")
    return path


def write_lines(folder: Path, text: str, name: str = "rows.csv") -> Path:
    """Write a file as it is given."""
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def description(project: Project) -> dict[str, Any]:
    """Read the description of a project."""
    text = (project.path / "conf" / "base" / "table.yml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(text)["table"]
    return found
