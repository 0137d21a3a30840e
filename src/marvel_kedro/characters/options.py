"""The parameters of the synthetic generator: options only, quick to import."""

from typing import Literal

from pydantic import Field

from marvel_kedro.core.options import Options

MOST_ROWS = 10_000_000


class DriftOptions(Options):
    """How the made-up world differs from the one that was measured.

    `covariate` moves the shares of the inputs and leaves the chance of Alive given the inputs;
    `prior` lowers the share of Alive, by the same in log odds whatever the inputs, which it leaves;
    `concept` turns what the inputs say about it, up to the opposite at magnitude 1, and keeps
    inputs and share.
    """

    scenario: Literal["none", "covariate", "prior", "concept"] = "none"
    magnitude: float = Field(0.5, ge=0, le=1)


class SyntheticOptions(Options):
    """The section `synthetic` of the parameters.

    `seed` is the world: which universes are dangerous, for one. `row_seed` draws other rows of the
    same world, so that a model of that world can be held against rows which it has not seen.
    """

    rows: int = Field(96_000, ge=1, le=MOST_ROWS)
    seed: int = Field(42, ge=0)
    row_seed: int = Field(0, ge=0)
    drift: DriftOptions = DriftOptions()
    stand_in: bool = True
