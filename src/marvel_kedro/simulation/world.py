"""The interface of a synthetic world, and the drift that it may have."""

from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import Field

from marvel_kedro.core.options import Options
from marvel_kedro.table.description import TableSpec

if TYPE_CHECKING:  # parameters import this module, which must be quick
    from collections.abc import Iterator

    import pandas as pd


class DriftOptions(Options):
    """Drift of a synthetic world from the measured one, of a magnitude from 0 (none) to 1.

    `covariate` moves the shares of the inputs, and keeps the probability of the positive class
    given the inputs. `prior` lowers the share of the positive class by the same log odds for all
    inputs, and keeps the inputs. `concept` turns the effects of the inputs, up to their opposite at
    magnitude 1, and keeps the inputs and the share.
    """

    scenario: Literal["none", "covariate", "prior", "concept"] = "none"
    magnitude: float = Field(0.5, ge=0, le=1)


class World(Protocol):
    """A generator of raw rows of a table: the same arguments give the same rows."""

    @property
    def table(self) -> TableSpec:
        """Return the description of the table."""

    @property
    def max_rows(self) -> int:
        """Return the maximum number of rows of one draw."""

    def draw(
        self, seed: int, row_seed: int, drift: DriftOptions
    ) -> tuple[str, "Iterator[pd.DataFrame]"]:
        """Draw rows.

        `seed` selects the world: how the outcome depends on the inputs. `row_seed` selects the rows
        that are drawn from it. `drift` is the difference of the world from the measured one.

        Returns:
            A text that differs wherever the rows differ, and chunks in the raw file's columns.
        """
