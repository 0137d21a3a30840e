"""Parameters of the synthetic generator, in a module that imports only pydantic."""

from pydantic import Field

from marvel_kedro.core.options import Options
from marvel_kedro.simulation.world import DriftOptions

MAX_ROWS = 10_000_000


class SyntheticOptions(Options):
    """The section `synthetic` of the parameters.

    `seed` selects the world, for example which universes are dangerous. `row_seed` selects the rows
    that are drawn from it, so that a model can be tested on other rows of its world.
    """

    rows: int = Field(96_000, ge=1, le=MAX_ROWS)
    seed: int = Field(42, ge=0)
    row_seed: int = Field(0, ge=0)
    drift: DriftOptions = DriftOptions()
    stand_in: bool = True
