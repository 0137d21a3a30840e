"""Contracts of the tables: columns, types, rules and descriptions.

Kedro checks them when it loads and saves local tables. `databricks/contract.py` checks those of the
lakehouse, and creates its tables with these descriptions as column comments.
"""

from functools import partial
from typing import Any

import pandera.pandas as pa
from pandera.typing.pandas import Series


def _column(description: str, **rules: Any) -> Any:  # noqa: ANN401 - pandera's field is any type
    return pa.Field(description=description, **rules)


_text = partial(_column, nullable=True)
_probability = partial(_column, ge=0, le=1)


_Time = Series["datetime64[us, UTC]"]  # type: ignore[name-defined] # a dtype


class _Strict(pa.DataFrameModel):
    """A table with exactly the columns of its contract."""

    class Config:
        """Pandera's settings."""

        strict = True


class _Texts(_Strict):
    """Text fields of a character; null where the source is empty."""

    name: Series[str] = _text("Name of the character, shared by its variants")
    universe: Series[str] = _text("Universe, such as Earth-616")
    url: Series[str] = _text("Address of the page")
    identity: Series[str] = _text("Identity: public or secret")
    gender: Series[str] = _text("Gender, in the source's spelling")
    marital_status: Series[str] = _text("Marital status, in the source's spelling")
    teams: Series[str] = _text("Teams, as the source lists them")
    origin: Series[str] = _text("Origin of the powers, in the source's spelling")
    creators: Series[str] = _text("Creators of the character")


class SourceRows(_Texts):
    """One row per row of the raw file, as it was read, with the reason if it is rejected."""

    page_id: Series[str] = _text("Title of the wiki page")
    height: Series[str] = _text("Height in metres, as written")
    weight: Series[str] = _text("Weight in kilograms, as written")
    alive: Series[str] = _text("Alive or Dead; a row with another value is rejected")
    reason: Series[str] = _text("Reason why the row is rejected; null if it is usable")


class Characters(_Texts):
    """One row per page of the wiki; text is null where the source is empty."""

    page_id: Series[str] = _column("Title of the wiki page; the key", unique=True)
    height: Series[float] = _column("Height in metres", nullable=True, gt=0, lt=float("inf"))
    weight: Series[float] = _column("Weight in kilograms", nullable=True, gt=0, lt=float("inf"))
    alive: Series[str] = _column("Target of the prediction", isin=["Alive", "Dead"])


class TestScores(_Strict):
    """One row per test row: probabilities of Alive by the candidate, champion and baselines."""

    __test__ = False  # pytest would collect the class by its name

    identity: Series[str] = _column("Slice: Public, Secret or Unknown")
    gender: Series[str] = _column("Slice: Male, Female, Other or Unknown")
    earth_616: Series[str] = _column("Slice: whether the universe is Earth-616")
    page_id: Series[str] = _column("Title of the wiki page; the key", unique=True)
    alive: Series[bool] = _column("Whether the character is alive")
    candidate: Series[float] = _probability("By the candidate")
    logistic_regression: Series[float] = _probability("By a logistic regression")
    always_alive: Series[float] = _probability("The share of Alive")
    champion: Series[float] = _probability(
        "By the champion; null without one and for rows it was trained on", nullable=True
    )


class Predictions(_Strict):
    """One row per scored character."""

    page_id: Series[str] = _column("Title of the wiki page; the key", unique=True)
    prediction: Series[str] = _column("Alive or Dead", isin=["Alive", "Dead"])
    probability: Series[float] = _probability("Probability of Alive")
    model_name: Series[str] = _column("Registered model that scored the row")
    model_version: Series[str] = _column("Version of that model")
    scored_at: _Time = _column("Time at which the row was scored")
