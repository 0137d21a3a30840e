"""Compare the course's recipe and this project's model on the same real rows.

Repeated cross-validation in which variants of one character (rows of one name) stay together, so
that no model is tested on a character that it has seen. Intervals are those of paired differences,
fold by fold, with the variance of Nadeau and Bengio (2003), since training sets of folds overlap.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import machine
import numpy as np
import numpy.typing as npt
import pandas as pd
import recipe
from arguments import parse
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from table import TABLE

from marvel_kedro.characters.synthetic import make_characters
from marvel_kedro.model import baselines
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.simulation.world import SyntheticOptions
from marvel_kedro.table import synthetic_rows
from marvel_kedro.table.cleaning import read_source, select_usable
from marvel_kedro.table.description import TableSpec

ROOT = Path(__file__).parents[1]
FILES = (  # the first one that exists and is real
    ROOT / "data" / "01_raw" / "marvel_characters_dataset.csv",
    ROOT.parent / "shared" / "data" / "marvel_characters_sample.csv",
)
Floats = npt.NDArray[np.float64]
Model = Callable[[pd.DataFrame, pd.DataFrame], Floats]


def main() -> None:
    """Compare on the given file, or on the first of the usual ones that exists."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="a raw file with the source's columns")
    parser.add_argument("--rows", type=int, help="use the first rows of the file only")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--folds", type=int, default=5)
    options = parse(parser, rows=600, repeats=1, folds=2)
    path = options.data or next((file for file in FILES if file.exists() and is_real(file)), None)
    if path is None and not options.small:
        sys.exit("No real raw file: name one with --data (docs/pipelines.md says where to get it).")
    raw = read_raw(path, options.rows)
    characters = select_usable(read_source(raw, TABLE), TABLE).reset_index(drop=True)
    models: dict[str, Model] = {
        "recipe": lambda train, test: recipe.fit_and_score(train, test, characters),
        "marvel_kedro": lambda train, test: fit(train, TABLE, FitOptions()).probabilities(test),
        "logistic regression": lambda train, test: baselines.logistic_regression(
            train, test, TABLE
        ),
        "constant": lambda train, test: np.full(len(test), baselines.constant(train, TABLE)),
    }
    print(machine.describe())
    print(
        f"{path.name if path else 'synthetic rows'}: {len(characters):,} rows, "
        f"{characters['name'].nunique():,} names; {options.repeats} x {options.folds} folds\n"
    )
    figures = cross_validate(characters, TABLE, models, options.repeats, options.folds)
    report(figures, 1 - 1 / options.folds)


def read_raw(path: Path | None, rows: int | None) -> pd.DataFrame:
    """Read the first rows of a raw file; make synthetic ones without a file."""
    if path is None:
        return pd.concat(make_characters(SyntheticOptions(rows=rows)))
    return pd.read_csv(path, dtype="str", keep_default_na=False, nrows=rows)


def is_real(path: Path) -> bool:
    """Return whether a raw file is real: on synthetic rows the comparison has no meaning."""
    first = pd.read_csv(path, dtype="str", nrows=1)
    return "PageID" not in first or not synthetic_rows.count(first, "PageID")[1]


def cross_validate(
    rows: pd.DataFrame, table: TableSpec, models: dict[str, Model], repeats: int, folds: int
) -> dict[str, Floats]:
    """Score every fold with every model; rows of a group share a fold.

    Returns:
        An array of shape (repeats * folds, 2) by model, ROC AUC and log loss.
    """
    positive = (rows[table.target.column] == table.target.positive).to_numpy()
    groups = rows[table.group_column].fillna("")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=repeat)
        for inside, outside in splitter.split(rows, positive, groups):
            train, test = (rows.iloc[side].reset_index(drop=True) for side in (inside, outside))
            for name, model in models.items():
                scores = model(train, test)
                found[name].append(
                    (
                        float(roc_auc_score(positive[outside], scores)),
                        float(log_loss(positive[outside], scores)),
                    )
                )
        print(f"repeat {repeat + 1} of {repeats} done", file=sys.stderr)
    return {name: np.array(figures) for name, figures in found.items()}


def report(figures: dict[str, Floats], train_share: float) -> None:
    """Print the means, and the paired differences to the recipe with 95 % intervals."""
    print(f"{'':22}{'ROC AUC':>10}{'log loss':>10}   difference of marvel_kedro (95 % interval)")
    ours = figures["marvel_kedro"]
    for name, rows in figures.items():
        area, loss = rows.mean(axis=0)
        line = f"{name:22}{area:10.4f}{loss:10.4f}"
        if name != "marvel_kedro":
            gain = [interval(ours[:, column] - rows[:, column], train_share) for column in (0, 1)]
            line += "   " + ", ".join(
                f"{label} {middle:+.4f} ({low:+.4f} to {high:+.4f})"
                for label, (low, middle, high) in zip(("AUC", "loss"), gain, strict=True)
            )
        print(line)
    wins = (ours - figures["recipe"])[:, 0] > 0, (ours - figures["recipe"])[:, 1] < 0
    print(
        f"\nFolds that the recipe won: {int((~wins[0]).sum())} of {len(ours)} on ROC AUC, "
        f"{int((~wins[1]).sum())} of {len(ours)} on log loss."
    )


def interval(differences: Floats, train_share: float) -> tuple[float, float, float]:
    """Return the corrected resampled t interval: low, mean, high."""
    number = len(differences)
    variance = differences.var(ddof=1) * (1 / number + (1 - train_share) / train_share)
    reach = float(stats.t.ppf(0.975, number - 1) * np.sqrt(variance))
    mean = float(differences.mean())
    return mean - reach, mean, mean + reach


if __name__ == "__main__":
    main()
