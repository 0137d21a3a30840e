"""Fit the course's recipe, re-created from its description: the baseline of the model.

Source of the facts: the course "MLOps with Databricks" (marvelousmlops/marvel-characters).
"""

import lightgbm
import numpy as np
import numpy.typing as npt
import pandas as pd

IDENTITIES = ("Public", "Secret", "Unknown")
MARITAL_STATUSES = ("Single", "Married", "Widowed", "Engaged", "Unknown")
CATEGORIES = ("universe", "identity", "gender", "marital_status", "origin")
ORIGINS = {
    "human": "Human",
    "mutate": "Mutant",
    "mutant": "Mutant",
    "asgardian": "Asgardian",
    "alien": "Alien",
    "symbiote": "Symbiote",
    "robot": "Robot",
    "cosmic being": "Cosmic being",
}
FREQUENT = 50
UNSEEN = -1


def fit_and_score(
    train: pd.DataFrame, test: pd.DataFrame, whole: pd.DataFrame
) -> npt.NDArray[np.float64]:
    """Fit the recipe and score the test rows.

    Args:
        train: Rows of `records`; those that the recipe drops are dropped.
        test: Rows of `records`; every one is scored.
        whole: Rows in which universes are counted: the whole file, as in the recipe.

    Returns:
        The probability of Alive, shape (test rows,).
    """
    universes = whole["universe"].value_counts()
    frequent = set(universes[universes >= FREQUENT].index)
    fitted, scored = features(train, frequent), features(test, frequent)
    kept = (
        fitted["identity"].isin(IDENTITIES) & fitted["marital_status"].isin(MARITAL_STATUSES)
    ).to_numpy()
    fitted = fitted[kept]
    for column in CATEGORIES:
        codes = {value: code for code, value in enumerate(sorted(fitted[column].unique()))}
        fitted[column] = fitted[column].map(codes).astype(int)
        scored[column] = scored[column].map(codes).fillna(UNSEEN).astype(int)
    model = lightgbm.LGBMClassifier(
        learning_rate=0.01, n_estimators=1000, max_depth=6, random_state=42, verbose=-1
    )
    model.fit(fitted, train.loc[kept, "alive"] == "Alive")
    probability: npt.NDArray[np.float64] = np.asarray(model.predict_proba(scored))[:, 1]
    return probability


def features(characters: pd.DataFrame, frequent: set[str]) -> pd.DataFrame:
    """Return the recipe's ten features, categories as text."""
    universe = characters["universe"].fillna("Unknown")
    origin = characters["origin"].fillna("").str.lower()
    return pd.DataFrame(
        {
            "height": characters["height"],
            "weight": characters["weight"],
            "universe": universe.where(universe.isin(frequent), "Other").astype(object),
            "identity": characters["identity"].fillna("Unknown").astype(object),
            "gender": characters["gender"]
            .where(characters["gender"].isin(["Male", "Female"]), "Other")
            .astype(object),
            "marital_status": characters["marital_status"]
            .fillna("Unknown")
            .replace({"Widow": "Widowed"})
            .astype(object),
            "teams": characters["teams"].notna().astype(int),
            "origin": pd.Series([_class(text) for text in origin], index=characters.index),
            "magic": origin.str.contains("magic").astype(int),
            "mutant": origin.str.contains("mutate|mutant").astype(int),
        }
    )


def _class(origin: str) -> str:
    return next((name for part, name in ORIGINS.items() if part in origin), "Other")
