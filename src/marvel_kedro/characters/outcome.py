"""Who lives: a logistic model of the traits, and how drift changes traits or model."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from marvel_kedro.characters import marginals, vocabulary
from marvel_kedro.characters.options import DriftOptions

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

NO_SHIFT = 0.0
_PRIOR_FALL = 0.32
"""By how much the share of Alive falls at magnitude 1 of prior drift."""


@dataclass(frozen=True)
class Traits:
    """Fields of rows as numbers: positions in the tables of `marginals`. Each has shape (rows,)."""

    family: Integers
    variant: Integers
    universe: Integers
    identity: Integers
    gender: Integers
    marital: Integers
    origin: Integers
    teams: Integers
    height: Floats
    weight: Floats
    family_effect: Floats


@dataclass(frozen=True)
class Recipe:
    """The logistic model.

    Attributes:
        shift: How far the inputs are shifted, from 0 to 1.
        slope: What the inputs' effects are multiplied by, from 1 to -1.
        intercept: The log odds where all effects are 0.
        universe_effects: Log odds by universe.
    """

    shift: float
    slope: float
    intercept: float
    universe_effects: Floats

    @classmethod
    def of(cls, drift: DriftOptions, pilot: Traits, seed: int) -> "Recipe":
        """Set the model so that the pilot rows have the share of Alive that is wanted."""
        size = 0.0 if drift.scenario == "none" else drift.magnitude
        universes = np.random.default_rng([seed, 1, 1]).normal(
            0, marginals.UNIVERSE_SPREAD, marginals.UNIVERSES
        )
        universes[0] = 0.0  # Earth-616 has its own effect
        slope = 1 - 2 * size if drift.scenario == "concept" else 1.0
        fall = _PRIOR_FALL * size if drift.scenario == "prior" else 0.0
        shift = size if drift.scenario == "covariate" else NO_SHIFT
        effects = slope * log_odds(pilot, universes)
        return cls(shift, slope, _intercept(effects, marginals.ALIVE_SHARE - fall), universes)

    def probabilities(self, traits: Traits) -> Floats:
        """The chance of Alive, one a row."""
        return _logistic(self.intercept + self.slope * log_odds(traits, self.universe_effects))


def log_odds(traits: Traits, universe_effects: Floats) -> Floats:
    """What the traits of rows add to the log odds of Alive."""
    effects = marginals.EFFECTS
    recurring = vocabulary.universes()
    kinds = np.array(
        [
            effects["616"]
            if name == "Earth-616"
            else effects["temporary"]
            if name.startswith("Earth-TRN")
            else 0.0
            if name.startswith("Earth-")
            else effects["realm"]
            for name in recurring
        ]
    )
    by_universe = np.append(kinds + universe_effects, effects["temporary"])
    total: Floats = by_universe[np.minimum(traits.universe, len(recurring))]
    for field, categories, positions in (
        ("identity", marginals.IDENTITY, traits.identity),
        ("gender", marginals.GENDER, traits.gender),
        ("marital", marginals.MARITAL, traits.marital),
        ("origin", marginals.ORIGIN, traits.origin),
    ):
        table = effects[field]
        total = total + np.array([table[category] for category in categories])[positions]
    total = total + effects["extra_team"] * np.maximum(traits.teams - 1, 0)
    total = total + effects["height"] * ~np.isnan(traits.height)
    return total + traits.family_effect


def _logistic(values: Floats) -> Floats:
    return 1 / (1 + np.exp(-values))


def _intercept(effects: Floats, share: float) -> float:
    """Find by bisection where the mean probability is `share`."""
    low, high = -20.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        if _logistic(middle + effects).mean() < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2
