"""The contracts of the tables: columns, types, rules and what they mean.

Kedro checks them when it loads and saves a local table; `databricks/contract.py` does for those of
a lakehouse, and makes them with these comments.
"""

from typing import Any

import pandera.pandas as pa
from pandera.typing.pandas import Series


def _column(meaning: str, **rules: Any) -> Any:  # noqa: ANN401 - pandera's field is any type
    return pa.Field(description=meaning, **rules)


def _text(meaning: str) -> Any:  # noqa: ANN401 - pandera's field is any type
    return _column(meaning, nullable=True)


class _Strict(pa.DataFrameModel):
    """A table has the columns of its contract and no others."""

    class Config:
        """Pandera's settings."""

        strict = True


class _Named(_Strict):
    """What a page says of a character, as text; null where the source is empty."""

    name: Series[str] = _text("Name of the character, shared by its variants")
    universe: Series[str] = _text("Universe, such as Earth-616")
    url: Series[str] = _text("Address of the page")
    identity: Series[str] = _text("Whether the identity is public or secret")
    gender: Series[str] = _text("Gender, in the source's spelling")
    marital_status: Series[str] = _text("Marital status, in the source's spelling")
    teams: Series[str] = _text("Teams, as the source lists them")
    origin: Series[str] = _text("Origin of the powers, in the source's words")
    creators: Series[str] = _text("Who made the character")


class SourceRows(_Named):
    """One row a row of the raw file, as it was read, and why it cannot be used."""

    page_id: Series[str] = _text("Title of the wiki page")
    height: Series[str] = _text("Height in metres, as written")
    weight: Series[str] = _text("Weight in kilograms, as written")
    alive: Series[str] = _text("Alive or Dead; another word cannot be used")
    reason: Series[str] = _text("Why the row cannot be used; null if it can")


class Characters(_Named):
    """One row a page of the wiki; text is null where the source is empty."""

    page_id: Series[str] = _column("Title of the wiki page; the key", unique=True)
    height: Series[float] = _column("Height in metres", nullable=True, gt=0, lt=float("inf"))
    weight: Series[float] = _column("Weight in kilograms", nullable=True, gt=0, lt=float("inf"))
    alive: Series[str] = _column("What is to be predicted", isin=["Alive", "Dead"])


class TestScores(_Strict):
    """One row a test row: probabilities of Alive by the candidate and what it is held against."""

    __test__ = False  # no test, for all its name

    identity: Series[str] = _column("Slice: Public, Secret or Unknown")
    gender: Series[str] = _column("Slice: Male, Female, Other or Unknown")
    earth_616: Series[str] = _column("Slice: whether the universe is Earth-616")
    page_id: Series[str] = _column("Title of the wiki page; the key", unique=True)
    alive: Series[bool] = _column("Whether the character is alive")
    candidate: Series[float] = _column("By the candidate", ge=0, le=1)
    logistic_regression: Series[float] = _column("By a logistic regression", ge=0, le=1)
    always_alive: Series[float] = _column("The share of Alive", ge=0, le=1)
    champion: Series[float] = _column(
        "By the champion; null without one and for rows it was trained on",
        nullable=True,
        ge=0,
        le=1,
    )


class Predictions(_Strict):
    """One row a scored character."""

    page_id: Series[str] = _column("Title of the wiki page; the key", unique=True)
    prediction: Series[str] = _column("Alive or Dead", isin=["Alive", "Dead"])
    probability: Series[float] = _column("Probability of Alive", ge=0, le=1)
    model_name: Series[str] = _column("Registered model that scored the row")
    model_version: Series[str] = _column("Its version")
    scored_at: Series["datetime64[us, UTC]"] = _column(  # type: ignore[name-defined] # noqa: F821 - a dtype
        "When the row was scored"
    )


class Labels(_Strict):
    """One row a page: what became of the character, and since when that is known."""

    page_id: Series[str] = _column("Title of the wiki page; the key", unique=True)
    alive: Series[str] = _column("What was to be predicted", isin=["Alive", "Dead"])
    labelled_at: Series["datetime64[us, UTC]"] = _column(  # type: ignore[name-defined] # noqa: F821 - a dtype
        "When the label became known"
    )
