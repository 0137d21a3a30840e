"""Nodes of `serving`: predictions of the champion, and the records of the lookup."""

from narwhals.typing import IntoFrame

from marvel_kedro.model import batch
from marvel_kedro.model.options import ServingOptions
from marvel_kedro.model.portable.features import NUMBER_COLUMNS, TEXT_COLUMNS
from marvel_kedro.model.registry import RegisteredModel
from marvel_kedro.table.frames import AnyFrame, lazily


def score_records(
    characters: IntoFrame, champion: RegisteredModel, options: ServingOptions
) -> AnyFrame:
    """Score every character with the champion; return the rows of `batch.COLUMNS`."""
    return batch.score(characters, champion, options.scored_at)


def publish_records(characters: IntoFrame) -> AnyFrame:
    """Select `page_id` and the model's input, which an endpoint looks up by a `page_id` alone."""
    return lazily(characters).select("page_id", *TEXT_COLUMNS, *NUMBER_COLUMNS).to_native()
