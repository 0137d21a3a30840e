"""Compare the default features with LightGBM's native categories on adopted tables.

Each file is described by the code of `kedro adopt`, without features of its own. The peer is
`LGBMClassifier` with its defaults: numbers as they are, dates as seconds, every other column as a
category. Repeated cross-validation; intervals as in `model_quality.py`.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import lightgbm
import machine
import numpy as np
import pandas as pd
from arguments import parse
from model_quality import Floats, cross_validate, interval
from sklearn.datasets import load_breast_cancer

from marvel_kedro.model import baselines
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.table import raw_text
from marvel_kedro.table.adoption.proposal import Choices, propose
from marvel_kedro.table.cleaning import read_source, select_usable
from marvel_kedro.table.description import TableSpec

WIKI = Path(__file__).parents[2] / "shared" / "data" / "marvel-wikia-data.csv"
PEERS = ("LightGBM", "logistic regression")


def main() -> None:
    """Compare on the given files, or on two tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", help="FILE or FILE:TARGET or FILE:TARGET:POSITIVE")
    parser.add_argument("--rows", type=int, default=10_000, help="of each table, drawn at random")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--folds", type=int, default=5)
    options = parse(parser, rows=300, repeats=1, folds=2)
    print(machine.describe())
    heads = "".join(f"{name:>20}" for name in ("marvel_kedro", *PEERS))
    print(f"{'ROC AUC, log loss':24}{heads}   marvel_kedro - LightGBM (95 % interval)")
    with tempfile.TemporaryDirectory() as folder:
        for file in options.files or usual(Path(folder)):
            compare(file, options)


def usual(folder: Path) -> list[str]:
    """Return scikit-learn's table of tumours and, if it is there, one of the wiki's."""
    tumours = folder / "breast_cancer.csv"
    load_breast_cancer(as_frame=True).frame.to_csv(tumours, index=False)
    return [str(tumours), *([str(WIKI)] if WIKI.exists() else [])]


def compare(file: str, options: argparse.Namespace) -> None:
    """Adopt a file, and print a line for it."""
    path, target, positive = [*file.split(":"), None, None][:3]
    table = propose(
        Path(str(path)), Path(str(path)).name, Choices(target=target, positive=positive)
    ).spec
    raw = pd.concat(raw_text.chunks(Path(str(path)), table.read))
    rows = select_usable(read_source(raw, table), table)
    rows = rows.sample(min(len(rows), options.rows), random_state=0).reset_index(drop=True)
    models = {
        "marvel_kedro": lambda train, test: fit(train, table, FitOptions()).probabilities(test),
        "LightGBM": lambda train, test: native(train, test, table),
        "logistic regression": lambda train, test: baselines.logistic_regression(
            train, test, table
        ),
    }
    figures = cross_validate(rows, table, models, options.repeats, options.folds)
    means = "".join(
        f"{f'{area:.4f}, {loss:.4f}':>20}"
        for area, loss in (found.mean(axis=0) for found in figures.values())
    )
    share = 1 - 1 / options.folds
    difference = figures["marvel_kedro"] - figures["LightGBM"]
    parts = (interval(difference[:, column], share) for column in (0, 1))
    text = ", ".join(f"{middle:+.4f} ({low:+.4f} to {high:+.4f})" for low, middle, high in parts)
    print(f"{f'{table.name[:15]}, {len(rows):,}':24}{means}   {text}", flush=True)


def native(train: pd.DataFrame, test: pd.DataFrame, table: TableSpec) -> Floats:
    """Score with LightGBM's own categories."""
    inputs = {name: column for name, column in table.inputs.items() if column.feature}
    levels = {name: pd.Index(train[name].dropna().unique()) for name in inputs}

    def frame(rows: pd.DataFrame) -> pd.DataFrame:
        found: dict[str, Any] = {}
        for name, column in inputs.items():
            if column.is_number:
                found[name] = rows[name]
            elif column.kind == "date":
                dates = pd.to_datetime(rows[name], format=column.format, errors="coerce", utc=True)
                found[name] = (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
            else:
                known = rows[name].where(rows[name].isin(levels[name]))
                found[name] = pd.Categorical(known, categories=levels[name])
        return pd.DataFrame(found)

    model = lightgbm.LGBMClassifier(verbose=-1, n_jobs=1, random_state=0)
    model.fit(frame(train), train[table.target.column] == table.target.positive)
    return np.asarray(model.predict_proba(frame(test)))[:, 1]


if __name__ == "__main__":
    main()
