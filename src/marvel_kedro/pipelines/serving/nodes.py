"""Nodes of `serving`: predictions of the champion, and the records of the lookup."""

from typing import Any

from narwhals.typing import IntoFrame

from marvel_kedro.model import batch
from marvel_kedro.model.options import ServingOptions
from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS
from marvel_kedro.model.registry import RegisteredModel
from marvel_kedro.table.frames import lazily


def score_characters(
    characters: IntoFrame, champion: RegisteredModel, options: ServingOptions
) -> Any:  # noqa: ANN401 - a frame of the same engine
    """Score every character with the champion.

    Returns:
        `predictions`: one row per character with `page_id`, `prediction`, `probability` (of Alive),
        `model_name`, `model_version`, `scored_at` (UTC).
    """
    return batch.score(characters, champion, options.scored_at)


def publish_characters(characters: IntoFrame) -> Any:  # noqa: ANN401 - a frame of the same engine
    """Select the fields that an endpoint looks up for a record with only its `page_id`.

    Returns:
        `online_characters`: one row per character with `page_id` and the columns of the model's
        input.
    """
    return lazily(characters).select("page_id", *TEXT_COLUMNS, *NUMBER_COLUMNS).to_native()
