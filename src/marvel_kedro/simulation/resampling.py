"""The world of any table: its own rows, drawn again with replacement."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.simulation.row_drift import RowDrift, row_drift
from marvel_kedro.simulation.world import MAX_ROWS, DriftOptions
from marvel_kedro.table.description import TableSpec
from marvel_kedro.table.frames import digest

CHUNK_ROWS = 5_000
SAMPLE_ROWS = 100_000
"""Maximum number of rows that are kept in memory and drawn from."""


class ResampledWorld:
    """The `simulation.world.World` of records that no model was trained on."""

    max_rows = MAX_ROWS

    def __init__(self, table: TableSpec, records: pd.DataFrame) -> None:
        if not len(records):
            raise ProjectError(
                f"There are no test rows to draw {table.row.many} from: raise "
                "processing.split.test_share, then: kedro run"
            )
        self.table = table
        rows = records[[table.key, *table.inputs, table.target.column]]
        if len(rows) > SAMPLE_ROWS:
            rows = rows.sample(SAMPLE_ROWS, random_state=0)
        self._records = rows.reset_index(drop=True)

    def draw(
        self, seed: int, row_seed: int, drift: DriftOptions
    ) -> tuple[str, Iterator[pd.DataFrame]]:
        """Draw records with replacement: a text that differs wherever they differ, and chunks."""
        identity = f"{digest(self._records)} {seed} {row_seed} {drift.model_dump_json()}"
        return identity, self._chunks(row_drift(self._records, self.table, drift, seed), row_seed)

    def describe(self, drift: DriftOptions) -> str:
        """Describe drift in a sentence without its end, with the columns that it moves."""
        return row_drift(self._records, self.table, drift, 0).description

    def _chunks(self, drift: RowDrift, row_seed: int) -> Iterator[pd.DataFrame]:
        key, target = self.table.key, self.table.target
        other = {target.positive: target.other, target.other: target.positive}
        labels = self._records[target.column]
        labels = labels.mask(drift.flipped, labels.map(other))
        records = self._records.assign(**{target.column: labels})
        edges = np.cumsum(drift.weights)
        for first in range(0, MAX_ROWS, CHUNK_ROWS):
            uniform = np.random.default_rng([row_seed, first]).random(CHUNK_ROWS)
            # `edges[-1]` is excluded, and so is a row of weight 0, however numbers are rounded.
            places = np.searchsorted(edges[:-1], uniform * edges[-1], side="right")
            rows = records.iloc[places].reset_index(drop=True)
            numbers = pd.Series(range(first, first + CHUNK_ROWS), dtype="str")
            yield rows.assign(**{key: rows[key] + "~" + numbers})
