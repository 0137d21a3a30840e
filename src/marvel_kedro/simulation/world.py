"""Worlds that rows are drawn from, and the options of synthetic rows and of drift."""

import pkgutil
from typing import TYPE_CHECKING, Literal, Protocol

from pydantic import Field

from marvel_kedro.core.errors import ProjectError
from marvel_kedro.core.options import Options
from marvel_kedro.table.description import REMEDY, TableSpec

if TYPE_CHECKING:  # parameters import this module, which must be quick
    from collections.abc import Iterator

    import pandas as pd

MAX_ROWS = 10_000_000
"""Maximum number of rows of one draw."""


class DriftOptions(Options):
    """Drift of a world from the measured one, of a magnitude from 0 (none) to 1.

    `covariate` moves the shares of the inputs, and keeps the probability of the positive class
    given the inputs. `prior` lowers the share of the more frequent class. `concept` keeps the
    inputs, and gives them other outcomes.
    """

    scenario: Literal["none", "covariate", "prior", "concept"] = "none"
    magnitude: float = Field(0.5, ge=0, le=1)

    @property
    def size(self) -> float:
        """The magnitude, which is 0 without a scenario."""
        return 0.0 if self.scenario == "none" else self.magnitude


class SyntheticOptions(Options):
    """The section `synthetic` of the parameters.

    `seed` selects the world: how the outcome depends on the inputs. `row_seed` selects the rows
    that are drawn from it, so that a model can be tested on other rows of its world.
    """

    rows: int = Field(96_000, ge=1, le=MAX_ROWS)
    seed: int = Field(42, ge=0)
    row_seed: int = Field(0, ge=0)
    drift: DriftOptions = DriftOptions()
    stand_in: bool = True


class World(Protocol):
    """A generator of records of a table: the same arguments give the same records."""

    @property
    def table(self) -> TableSpec:
        """Return the description of the table."""

    @property
    def max_rows(self) -> int:
        """Return the maximum number of rows of one draw."""

    def draw(
        self, seed: int, row_seed: int, drift: DriftOptions
    ) -> "tuple[str, Iterator[pd.DataFrame]]":
        """Draw records with distinct keys.

        `seed` selects the world, where there are several. `row_seed` selects the rows that are
        drawn from it. `drift` is the difference of the world from the measured one.

        Returns:
            A text that differs wherever the rows differ, and chunks of records.
        """

    def describe(self, drift: DriftOptions) -> str:
        """Describe drift in a sentence without its end, in the words of the table."""


class SyntheticWorld(World, Protocol):
    """A world that needs no rows of the table: it generates them."""

    def raw_rows(self, options: SyntheticOptions) -> "Iterator[pd.DataFrame]":
        """Generate a raw file: chunks of text in the columns of the source."""


def synthetic_world(table: TableSpec) -> SyntheticWorld:
    """Create the world that the description names.

    Raises:
        ProjectError: It names none, or one that is not there.
    """
    if table.world is None:
        raise ProjectError(
            f"The project can generate no rows of the table {table.name}. Put its file at "
            f"data/01_raw/{table.file}, and leave the pipeline `synthetic` out."
        )
    try:
        world: SyntheticWorld = pkgutil.resolve_name(table.world)(table)
    except (ImportError, AttributeError, ValueError) as error:
        raise ProjectError(
            f"world is {table.world}, which cannot be imported ({error}): name a class, such as "
            f"package.module.Class, or leave the key out. {REMEDY}"
        ) from error
    return world
