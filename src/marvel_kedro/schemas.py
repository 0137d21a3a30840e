"""The contracts of the tables, checked when Kedro saves them."""

import pandera.pandas as pa
from pandera.typing.pandas import Series


class _Strict(pa.DataFrameModel):
    """A table has the columns of its contract and no others."""

    class Config:
        """Pandera's settings."""

        strict = True


class Characters(_Strict):
    """One row a page; text is null where the source is empty."""

    page_id: Series[str] = pa.Field(unique=True)
    name: Series[str] = pa.Field(nullable=True)
    universe: Series[str] = pa.Field(nullable=True)
    url: Series[str] = pa.Field(nullable=True)
    identity: Series[str] = pa.Field(nullable=True)
    gender: Series[str] = pa.Field(nullable=True)
    marital_status: Series[str] = pa.Field(nullable=True)
    teams: Series[str] = pa.Field(nullable=True)
    origin: Series[str] = pa.Field(nullable=True)
    creators: Series[str] = pa.Field(nullable=True)
    height: Series[float] = pa.Field(nullable=True, gt=0, lt=float("inf"))
    weight: Series[float] = pa.Field(nullable=True, gt=0, lt=float("inf"))
    alive: Series[str] = pa.Field(isin=["Alive", "Dead"])


class Predictions(_Strict):
    """One row a scored character."""

    page_id: Series[str] = pa.Field(unique=True)
    prediction: Series[str] = pa.Field(isin=["Alive", "Dead"])
    probability: Series[float] = pa.Field(ge=0, le=1)
    model_name: Series[str]
    model_version: Series[str]
    scored_at: Series["datetime64[us, UTC]"]  # type: ignore[name-defined] # noqa: F821 - a dtype
