"""The champion at work on tables."""

from datetime import datetime

import pandas as pd
from pydantic import AwareDatetime

from marvel_kedro.options import Options
from marvel_kedro.registry import RegisteredModel


class ServingOptions(Options):
    """The section `serving` of the parameters."""

    scored_at: AwareDatetime


def score_characters(
    characters: pd.DataFrame, champion: RegisteredModel, options: ServingOptions
) -> pd.DataFrame:
    """Score every character with the champion.

    Returns:
        `predictions`: one row a character with `page_id`, `prediction`, `probability` (of Alive),
        `model_name`, `model_version`, `scored_at` (UTC).
    """
    return _with_origin(
        champion.predict(characters).assign(page_id=characters["page_id"]),
        champion,
        options.scored_at,
    )


def _with_origin(
    scored: pd.DataFrame, champion: RegisteredModel, scored_at: datetime
) -> pd.DataFrame:
    moment = pd.Timestamp(scored_at).tz_convert("UTC").as_unit("us")
    return scored.assign(
        model_name=champion.name, model_version=champion.version, scored_at=moment
    )[["page_id", "prediction", "probability", "model_name", "model_version", "scored_at"]]
