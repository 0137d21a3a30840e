"""Nodes of `synthetic`: a raw file of synthetic rows."""

from collections.abc import Iterator

import pandas as pd

from marvel_kedro.simulation.world import SyntheticOptions, synthetic_world
from marvel_kedro.table.description import TableSpec


def make_rows(options: SyntheticOptions, table: TableSpec) -> Iterator[pd.DataFrame]:
    """Generate a raw file in chunks."""
    return synthetic_world(table).raw_rows(options)
