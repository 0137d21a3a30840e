"""The course's recipe and this project's model on the same real rows.

Repeated cross-validation in which variants of one character (rows of one name) stay together, so
that no model is tested on a character that it has seen. Intervals are of paired differences, fold
by fold, with the variance of Nadeau and Bengio (2003), since training sets of folds overlap.
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
from scipy import stats
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from marvel_kedro.characters.synthetic import is_synthetic
from marvel_kedro.model import baselines
from marvel_kedro.model.fit import fit
from marvel_kedro.model.options import FitOptions
from marvel_kedro.table.cleaning import read_source, select_usable

ROOT = Path(__file__).parents[1]
FILES = (  # the first that is there and real
    ROOT / "data" / "01_raw" / "marvel_characters_dataset.csv",
    ROOT.parent / "shared" / "data" / "marvel_characters_sample.csv",
)
Floats = npt.NDArray[np.float64]
Model = Callable[[pd.DataFrame, pd.DataFrame], Floats]


def main() -> None:
    """Compare on the file that is named, or on the first of the usual ones that is there."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--data", type=Path, help="a raw file with the source's columns")
    arguments.add_argument("--repeats", type=int, default=10)
    arguments.add_argument("--folds", type=int, default=5)
    options = arguments.parse_args()
    path = options.data or next((file for file in FILES if file.exists() and is_real(file)), None)
    if path is None:
        sys.exit("No real raw file: name one with --data (README.md says where the real one is).")
    raw = pd.read_csv(path, dtype="str", keep_default_na=False)
    characters = select_usable(read_source(raw)).reset_index(drop=True)
    models: dict[str, Model] = {
        "recipe": lambda train, test: recipe.fit_and_score(train, test, characters),
        "marvel_kedro": lambda train, test: fit(train, FitOptions()).probabilities(test),
        "logistic regression": baselines.logistic_regression,
        "share of Alive": lambda train, test: np.full(len(test), baselines.always_alive(train)),
    }
    print(machine.describe())
    print(
        f"{path.name}: {len(characters):,} rows, {characters['name'].nunique():,} names; "
        f"{options.repeats} x {options.folds} folds\n"
    )
    figures, train_share = cross_validate(characters, models, options.repeats, options.folds)
    report(figures, train_share)


def is_real(path: Path) -> bool:
    """Whether a raw file is one that somebody brought: made-up rows say nothing of quality."""
    first = pd.read_csv(path, dtype="str", nrows=1)
    return "URL" not in first or not is_synthetic(first["URL"])


def cross_validate(
    characters: pd.DataFrame, models: dict[str, Model], repeats: int, folds: int
) -> tuple[dict[str, Floats], float]:
    """Score every fold with every model.

    Returns:
        By model an array of shape (repeats * folds, 2), ROC AUC and log loss; and the share of
        the rows that a model is trained on.
    """
    alive = (characters["alive"] == "Alive").to_numpy()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for repeat in range(repeats):
        splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=repeat)
        for inside, outside in splitter.split(characters, alive, characters["name"].fillna("")):
            train = characters.iloc[inside].reset_index(drop=True)
            test = characters.iloc[outside].reset_index(drop=True)
            for name, model in models.items():
                scores = model(train, test)
                found[name].append(
                    (
                        float(roc_auc_score(alive[outside], scores)),
                        float(log_loss(alive[outside], scores)),
                    )
                )
        print(f"repeat {repeat + 1} of {repeats} done", file=sys.stderr)
    return {name: np.array(rows) for name, rows in found.items()}, 1 - 1 / folds


def report(figures: dict[str, Floats], train_share: float) -> None:
    """Print the means, and the paired differences to the recipe with 95 % intervals."""
    print(f"{'':22}{'ROC AUC':>10}{'log loss':>10}   marvel_kedro beside it (95 % interval)")
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
    """The corrected resampled t interval: low, mean, high."""
    number = len(differences)
    variance = differences.var(ddof=1) * (1 / number + (1 - train_share) / train_share)
    reach = float(stats.t.ppf(0.975, number - 1) * np.sqrt(variance))
    mean = float(differences.mean())
    return mean - reach, mean, mean + reach


if __name__ == "__main__":
    main()
