"""Nodes of `serving`: predictions of the champion, and the records of the lookup."""

from narwhals.typing import IntoFrame

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.model import batch, other_table
from marvel_kedro.model.options import ServingOptions
from marvel_kedro.model.registry import RegisteredModel
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import AnyFrame, lazily


def score_records(
    records: IntoFrame, champion: RegisteredModel, table: TableSpec, options: ServingOptions
) -> AnyFrame:
    """Score every record with the champion; return the key and `batch.COLUMNS`.

    Raises:
        ProjectError: The champion answers the question of another table.
    """
    if other := other_table.difference(champion, table):
        raise ProjectError(
            f"The champion cannot score the records: {other}. Train a model of this table: kedro "
            "run --pipelines training; data/08_reporting/promotion.json says why the last one was "
            "not promoted."
        )
    return batch.score(records, table.key, champion, options.scored_at)


def publish_records(records: IntoFrame, table: TableSpec) -> AnyFrame:
    """Select the key and the model's input, which an endpoint looks up by a key alone."""
    return lazily(records).select(table.key, *table.inputs).to_native()
