"""Nodes of `synthetic`: a raw file of synthetic rows."""

from collections.abc import Iterator

import pandas as pd

from marvel_kedro.characters import synthetic
from marvel_kedro.characters.options import SyntheticOptions


def make_characters(options: SyntheticOptions) -> Iterator[pd.DataFrame]:
    """Generate a raw file in chunks."""
    return synthetic.make_characters(options)
