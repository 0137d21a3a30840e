"""The champion at work on tables."""

from typing import Any

from narwhals.typing import IntoFrame
from pydantic import AwareDatetime

from marvel_kedro import batch
from marvel_kedro.options import Options
from marvel_kedro.registry import RegisteredModel


class ServingOptions(Options):
    """The section `serving` of the parameters."""

    scored_at: AwareDatetime


def score_characters(
    characters: IntoFrame, champion: RegisteredModel, options: ServingOptions
) -> Any:  # noqa: ANN401 - a frame of the same engine
    """Score every character with the champion.

    Returns:
        `predictions`: one row a character with `page_id`, `prediction`, `probability` (of Alive),
        `model_name`, `model_version`, `scored_at` (UTC).
    """
    return batch.score(characters, champion, options.scored_at)
